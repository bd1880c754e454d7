package main

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"encoding/pem"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheSameSourceIsTheSameZip(t *testing.T) {
	var zips [2][]byte
	for i := range zips {
		out := t.TempDir()
		// What a developer's environment may say must not matter.
		t.Setenv("GOFLAGS", []string{"", "-ldflags=-X=main.a=b"}[i])
		var said bytes.Buffer
		if err := run(t.Context(), []string{"-root", "../..", "-arch", "arm64", "-out", out}, &said); err != nil {
			t.Fatal(err)
		}
		var err error
		if zips[i], err = os.ReadFile(filepath.Join(out, "verdict-authorizer-arm64.zip")); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), "verdict-authorizer-arm64.zip") {
			t.Errorf("said %q, which does not name the zip", said.String())
		}
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("two builds differ")
	}
	r, err := zip.NewReader(bytes.NewReader(zips[0]), int64(len(zips[0])))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 || !r.File[0].Modified.Equal(epoch) {
		t.Fatalf("the zip does not hold one bootstrap of mode 0755 and the fixed time: %+v", r.File[0].FileHeader)
	}
	binary, err := fs.ReadFile(r, "bootstrap")
	if err != nil {
		t.Fatal(err)
	}
	program, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	if program.Machine != elf.EM_AARCH64 {
		t.Errorf("the program is for %s", program.Machine)
	}
	if libraries, err := program.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("the program needs libraries %v (%v), which Lambda may not have", libraries, err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(binary, []byte(root+"/")) {
		t.Error("the program says in which folder it was built")
	}
}

func TestPackDependsOnItsEntriesAlone(t *testing.T) {
	a, b := entry{name: "a.pem", mode: 0o644, data: []byte("a")}, entry{name: "b.pem", mode: 0o644, data: []byte("b")}
	one, err := pack([]entry{a, b})
	if err != nil {
		t.Fatal(err)
	}
	other, err := pack([]entry{b, a})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Error("the order of the entries shows")
	}
	if _, err := pack([]entry{a, a}); err == nil {
		t.Error("two files of one name were packed")
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("der")})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte("not PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args    []string
		written string // "": nothing
		problem string // part of the error; "": none
	}{
		"PEM files become the zip of a layer":           {args: []string{"-files", ca}, written: "verdict-authorizer-files.zip"},
		"a file that holds no PEM is refused":           {args: []string{"-files", ca + "," + text}, problem: "notes.txt holds no PEM"},
		"a file that is not there is refused":           {args: []string{"-files", filepath.Join(dir, "gone.pem")}, problem: "gone.pem"},
		"a zip above the limit is not written":          {args: []string{"-files", ca, "-limit", "10"}, problem: "more than the 10"},
		"an architecture that Lambda lacks is refused":  {args: []string{"-arch", "riscv64"}, problem: `"riscv64" is not one of`},
		"no architecture is refused":                    {args: []string{"-arch", ","}, problem: "none given"},
		"a stray argument is refused":                   {args: []string{"arm64"}, problem: `"arm64"`},
		"a build that fails says what the compiler did": {args: []string{"-arch", "arm64", "-root", dir}, problem: "build ./cmd/verdict-authorizer"},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			err := run(t.Context(), append(tc.args, "-out", out), &bytes.Buffer{})
			if tc.problem == "" && err != nil || tc.problem != "" && (err == nil || !strings.Contains(err.Error(), tc.problem)) {
				t.Errorf("error %v, want one with %q", err, tc.problem)
			}
			var got []string
			entries, err := os.ReadDir(out)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				got = append(got, e.Name())
			}
			if strings.Join(got, ",") != tc.written {
				t.Errorf("wrote %v, want %q", got, tc.written)
			}
		})
	}
}
