package image

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxZstdWindow bounds the memory that a layer makes its decoder take.
const maxZstdWindow = 128 << 20

// openBlob opens a layer's file and uncompresses it, whatever the manifest calls it.
func openBlob(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(f, 1<<16)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buffered)
		if err != nil {
			f.Close()
			return nil, err
		}
		return blob{Reader: z, close: f.Close}, nil
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			f.Close()
			return nil, err
		}
		return blob{Reader: z, close: func() error { z.Close(); return f.Close() }}, nil
	}
	return blob{Reader: buffered, close: f.Close}, nil
}

// blob is an uncompressing reader over an open file.
type blob struct {
	io.Reader
	close func() error
}

func (b blob) Close() error { return b.close() }
