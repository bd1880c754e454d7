package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// screenWidth is what a table for people fits into.
const screenWidth = 120

// screen writes for people or, line by line, for machines.
type screen struct {
	to     io.Writer
	colour bool
	wide   bool // lines are not cut at screenWidth
}

func newScreen(to io.Writer, wide bool) *screen {
	return &screen{to: to, colour: isTerminal(to) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb", wide: wide}
}

// isTerminal says whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Colours of a terminal.
const (
	red   = "\x1b[31m"
	green = "\x1b[32m"
	faint = "\x1b[2m"
	unset = "\x1b[0m"
)

// field is a cell of a table, with a colour or none.
type field struct {
	text   string
	colour string
	right  bool
}

// line writes fields in columns of the given widths; the last field takes what is left of the screen.
func (s *screen) line(widths []int, fields []field) error {
	var b strings.Builder
	column := 0
	for i, f := range fields {
		text := plain(f.text)
		room := screenWidth - column
		if i < len(widths) && i < len(fields)-1 {
			room = min(room, widths[i])
		}
		if !s.wide {
			text = cut(text, room)
		}
		n := utf8.RuneCountInString(text)
		pad := 0
		if i < len(fields)-1 && i < len(widths) {
			pad = max(widths[i]-n, 0)
		}
		if f.right {
			b.WriteString(strings.Repeat(" ", pad))
		}
		if s.colour && f.colour != "" {
			text = f.colour + text + unset
		}
		b.WriteString(text)
		if i < len(fields)-1 {
			if !f.right {
				b.WriteString(strings.Repeat(" ", pad))
			}
			b.WriteString("  ")
		}
		column += n + pad + 2
	}
	_, err := fmt.Fprintln(s.to, strings.TrimRight(b.String(), " "))
	return err
}

// table writes a heading and rows whose columns are as wide as they need to be.
func (s *screen) table(heading []string, rows [][]field) error {
	widths := make([]int, len(heading))
	head := make([]field, len(heading))
	for i, h := range heading {
		widths[i] = utf8.RuneCountInString(h)
		head[i] = field{text: h, colour: faint}
	}
	for _, r := range rows {
		for i, f := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(plain(f.text)))
			head[i].right = f.right
		}
	}
	if err := s.line(widths, head); err != nil {
		return err
	}
	for _, r := range rows {
		if err := s.line(widths, r); err != nil {
			return err
		}
	}
	return nil
}

// json writes a message as one line, with the names of the contract as in exported files. protojson varies its spaces on purpose; here they are gone.
func (s *screen) json(m proto.Message) error {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err = s.to.Write(b.Bytes())
	return err
}

// plain is text that cannot steer a terminal: what is not printable, and what changes the direction of writing, stands as
// an escape.
func plain(text string) string {
	clean := true
	for _, r := range text {
		clean = clean && printable(r)
	}
	if clean {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if printable(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func printable(r rune) bool {
	return r != utf8.RuneError && unicode.IsPrint(r) && !unicode.Is(unicode.Bidi_Control, r)
}

// cut is text in at most n characters.
func cut(text string, n int) string {
	if n < 1 {
		return ""
	}
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	r := []rune(text)
	return strings.TrimRight(string(r[:n-1]), " ") + "…"
}

// Bars of text, an eighth of a character fine, and columns as high as a line.
var (
	eighths = []rune(" ▏▎▍▌▋▊▉█")
	columns = []rune("▁▂▃▄▅▆▇█")
)

// barOf is n of most in at most width characters; what is more than nothing is seen.
func barOf(n, most uint64, width int) string {
	if n == 0 || most == 0 {
		return ""
	}
	parts := max(int(float64(n)/float64(most)*float64(width*8)+0.5), 1)
	text := strings.Repeat("█", parts/8)
	if rest := parts % 8; rest > 0 {
		text += string(eighths[rest])
	}
	return text
}

// sparkline is numbers over time in at most width columns; neighbours are added up to fit.
func sparkline(numbers []uint64, width int) string {
	each := (len(numbers) + width - 1) / max(width, 1)
	if each < 1 {
		return ""
	}
	var sums []uint64
	most := uint64(0)
	for i, n := range numbers {
		if i%each == 0 {
			sums = append(sums, 0)
		}
		sums[len(sums)-1] += n
		most = max(most, sums[len(sums)-1])
	}
	var b strings.Builder
	for _, n := range sums {
		switch {
		case n == 0:
			b.WriteByte(' ')
		default:
			b.WriteRune(columns[int(float64(n)/float64(most)*float64(len(columns)-1)+0.5)])
		}
	}
	return strings.TrimRight(b.String(), " ")
}
