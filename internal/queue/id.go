package queue

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"sync"
	"time"
)

// idEncoding is base32 in lower case, in the order of the alphabet, so that ids sort by age.
var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newIDs returns a source of job ids: 26 lower-case letters and digits, 48 bits of
// milliseconds followed by 80 random bits. Ids of one source rise strictly, also
// within a millisecond, so that jobs submitted one after another stay in order.
func newIDs(now func() time.Time) func() string {
	var mu sync.Mutex
	var last [16]byte
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		var id [16]byte
		binary.BigEndian.PutUint64(id[:8], uint64(now().UnixMilli())<<16)
		if bytes.Compare(id[:6], last[:6]) <= 0 { // the same millisecond, or a clock set back
			id = last
			for i := len(id) - 1; i >= 6; i-- {
				id[i]++
				if id[i] != 0 {
					break
				}
			}
		} else {
			rand.Read(id[6:])
			id[6] &= 0x7f // room to count up
		}
		last = id
		return idEncoding.EncodeToString(id[:])
	}
}
