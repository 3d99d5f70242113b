package web

import (
	"fmt"
	"strings"
)

// Colours of text in logs are classes, since the policy forbids inline styles:
// "f0" to "f255" for the text, "b0" to "b255" for what is behind it, numbered as
// in xterm's palette. A 24-bit colour becomes the nearest of the palette.

// system are the 16 base colours, chosen to be readable on the log's dark ground.
var system = [16]string{
	"#7d8691", "#ff7b72", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#c9d1d9",
	"#8b949e", "#ffa198", "#7ee787", "#f2cc60", "#a5d6ff", "#e2c5ff", "#b3f0ff", "#ffffff",
}

// systemBack are the same behind text: darker, so that text stays readable on them.
var systemBack = [16]string{
	"#21262d", "#8e1519", "#0f5323", "#6b4a00", "#0a3f80", "#4c2889", "#0b4f57", "#484f58",
	"#30363d", "#b62324", "#196c2e", "#845306", "#1158c7", "#6e40c9", "#13727d", "#6e7681",
}

// cubeLevels are the values of a channel in the palette's 6×6×6 cube.
var cubeLevels = [6]int{0, 95, 135, 175, 215, 255}

// paletteCSS returns the style sheet of all colour classes.
func paletteCSS() []byte {
	var css strings.Builder
	for i := range 256 {
		text, back := paletteColour(i), paletteColour(i)
		if i < 16 {
			text, back = system[i], systemBack[i]
		}
		fmt.Fprintf(&css, ".f%d{color:%s}.b%d{background:%s}\n", i, text, i, back)
	}
	return []byte(css.String())
}

// paletteColour returns colour i of xterm's palette, 16 to 255; the rest is black.
func paletteColour(i int) string {
	switch {
	case i >= 232:
		v := 8 + 10*(i-232)
		return fmt.Sprintf("#%02x%02x%02x", v, v, v)
	case i >= 16:
		i -= 16
		return fmt.Sprintf("#%02x%02x%02x", cubeLevels[i/36], cubeLevels[i/6%6], cubeLevels[i%6])
	}
	return "#000000"
}

// nearest returns the palette's index for a 24-bit colour: of the cube's and the
// grey ramp's candidates the closer one.
func nearest(r, g, b int) int {
	r, g, b = clamp(r), clamp(g), clamp(b)
	cr, cg, cb := cubeIndex(r), cubeIndex(g), cubeIndex(b)
	cube := distance(r-cubeLevels[cr], g-cubeLevels[cg], b-cubeLevels[cb])
	step := min(max(((r+g+b)/3-3)/10, 0), 23)
	grey := 8 + 10*step
	if distance(r-grey, g-grey, b-grey) < cube {
		return 232 + step
	}
	return 16 + 36*cr + 6*cg + cb
}

func cubeIndex(v int) int {
	best := 0
	for i, level := range cubeLevels {
		if abs(v-level) < abs(v-cubeLevels[best]) {
			best = i
		}
	}
	return best
}

func distance(r, g, b int) int { return r*r + g*g + b*b }

func clamp(v int) int { return min(max(v, 0), 255) }

func abs(v int) int { return max(v, -v) }
