package gvisor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"

	"github.com/glovebox-dev/glovebox"
)

// pauseProgram returns the program of the sandbox's first container, a static ELF
// executable of some 200 bytes: it ignores SIGCHLD, so that orphans which a step leaves to
// it vanish when they end, writes one byte to say that the sandbox is up, and sleeps.
func pauseProgram() ([]byte, error) {
	var code []byte
	var machine uint16
	switch runtime.GOARCH {
	case "amd64":
		machine = 62
		code = []byte{
			// rt_sigaction(SIGCHLD=17, &act, NULL, 8); act lies behind the code: SIG_IGN
			0xb8, 13, 0, 0, 0, // mov eax, 13
			0xbf, 17, 0, 0, 0, // mov edi, 17
			0x48, 0x8d, 0x35, 47, 0, 0, 0, // lea rsi, [rip+47] (act)
			0x31, 0xd2, // xor edx, edx
			0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
			0x0f, 0x05, // syscall
			// write(1, act, 1)
			0xb8, 1, 0, 0, 0, // mov eax, 1
			0xbf, 1, 0, 0, 0, // mov edi, 1
			0x48, 0x8d, 0x35, 20, 0, 0, 0, // lea rsi, [rip+20] (act)
			0xba, 1, 0, 0, 0, // mov edx, 1
			0x0f, 0x05, // syscall
			// for { pause() }
			0xb8, 34, 0, 0, 0, // mov eax, 34
			0x0f, 0x05, // syscall
			0xeb, 0xf7, // jmp to "mov eax, 34"
			0x90, 0x90, 0x90, 0x90, // to 64 bytes
		}
	default:
		return nil, fmt.Errorf("the runtime gvisor is not made for %s yet: %w", runtime.GOARCH, glovebox.ErrUnsupported)
	}
	act := make([]byte, 32)
	act[0] = 1 // sa_handler = SIG_IGN; the rest is zero
	return elf(machine, append(code, act...)), nil
}

// trueProgram is an executable that ends with code 0, for Check.
func trueProgram() []byte {
	return elf(62, []byte{
		0xb8, 231, 0, 0, 0, // mov eax, 231 (exit_group)
		0x31, 0xff, // xor edi, edi
		0x0f, 0x05, // syscall
	})
}

// elf wraps position-independent code into an executable with one read-execute segment.
func elf(machine uint16, code []byte) []byte {
	const base, headers = 0x400000, 64 + 56
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	size := uint64(headers + len(code))
	for _, field := range []any{
		uint16(2), machine, uint32(1), uint64(base + headers), uint64(64), uint64(0), uint32(0),
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(4096),
	} {
		_ = binary.Write(&b, binary.LittleEndian, field) // a bytes.Buffer takes everything
	}
	b.Write(code)
	return b.Bytes()
}
