package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// entry is a file of a zip.
type entry struct {
	name string
	mode fs.FileMode
	data []byte
}

// epoch is the time of all files, the earliest that a zip can say.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack makes a zip that depends on its entries alone: sorted by name, with one time, compressed one way.
func pack(entries []entry) ([]byte, error) {
	entries = slices.SortedFunc(slices.Values(entries), func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) { return flate.NewWriter(to, flate.BestCompression) })
	for i, e := range entries {
		if i > 0 && entries[i-1].name == e.name {
			return nil, fmt.Errorf("two files are called %s", e.name)
		}
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: epoch}
		header.SetMode(e.mode) // Lambda runs what may be run
		f, err := w.CreateHeader(header)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// readPEM reads the files of a layer, where each lies under its own name. A file that holds no PEM would be found out by the
// first caller, as an error of the connection.
func readPEM(paths []string) (entries []entry, err error) {
	for _, path := range paths {
		data, readErr := os.ReadFile(path)
		if readErr != nil {
			err = errors.Join(err, fmt.Errorf("-files: %w", readErr))
			continue
		}
		if block, _ := pem.Decode(data); block == nil {
			err = errors.Join(err, fmt.Errorf("-files: %s holds no PEM", path))
		}
		// Readable by all: the function's user is not the one that Lambda unpacks as.
		entries = append(entries, entry{name: filepath.Base(path), mode: 0o644, data: data})
	}
	return entries, err
}
