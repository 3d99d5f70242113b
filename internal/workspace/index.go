package workspace

import (
	"crypto/sha1" // git's own object names and checksums
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"strconv"
)

// writeIndex writes git's index, version 2 (gitformat-index(5)), for files just laid out.
func writeIndex(path string, entries []entry, stamps []stamp) error {
	var sum hash.Hash = sha1.New()
	if len(entries) > 0 && len(entries[0].object) == 64 {
		sum = sha256.New()
	}
	be := binary.BigEndian
	buf := append(make([]byte, 0, 12+100*len(entries)), "DIRC\x00\x00\x00\x02"...)
	buf = be.AppendUint32(buf, uint32(len(entries)))
	for i, e := range entries {
		start := len(buf)
		st := stamps[i]
		buf = be.AppendUint32(buf, uint32(st.ctime.Sec))
		buf = be.AppendUint32(buf, uint32(st.ctime.Nsec))
		buf = be.AppendUint32(buf, uint32(st.mtime.Sec))
		buf = be.AppendUint32(buf, uint32(st.mtime.Nsec))
		buf = be.AppendUint32(buf, 0) // device
		buf = be.AppendUint32(buf, uint32(st.inode))
		mode, err := strconv.ParseUint(e.mode, 8, 32)
		if err != nil {
			return fmt.Errorf("write index: mode %s", e.mode)
		}
		buf = be.AppendUint32(buf, uint32(mode))
		buf = be.AppendUint32(buf, 0) // owner
		buf = be.AppendUint32(buf, 0) // group
		buf = be.AppendUint32(buf, uint32(st.size))
		object, err := hex.DecodeString(e.object)
		if err != nil {
			return fmt.Errorf("write index: object name %q", e.object)
		}
		buf = append(buf, object...)
		buf = be.AppendUint16(buf, uint16(min(len(e.path), 0xfff)))
		buf = append(buf, e.path...)
		buf = append(buf, 0)
		for (len(buf)-start)%8 != 0 {
			buf = append(buf, 0)
		}
	}
	sum.Write(buf)
	return os.WriteFile(path, sum.Sum(buf), 0o644)
}
