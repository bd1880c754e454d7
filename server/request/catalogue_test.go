package request

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rowCount is the last number of the catalogue.
const rowCount = 75

// row is one numbered row of testdata/catalogue.txt, whose head describes the format.
type row struct {
	number int
	name   string
	lines  []line
}

// line is one expectation of a row.
type line struct {
	text      string
	about     string // "request", "hostname", "address" or "elsewhere"
	raw       Raw
	want      Canonical
	fault     string // of a request; "" accepts
	ambiguous bool
	in, out   string // of hostname and address
	ok        bool
}

func TestCatalogue(t *testing.T) {
	rows := readCatalogue(t)
	for i, r := range rows {
		if r.number != i+1 {
			t.Fatalf("row %03d is missing or out of order; found %03d", i+1, r.number)
		}
		if len(r.lines) == 0 {
			t.Errorf("row %03d says nothing", r.number)
		}
	}
	if len(rows) != rowCount {
		t.Fatalf("%d rows, want %d", len(rows), rowCount)
	}
	for _, r := range rows {
		t.Run(fmt.Sprintf("%03d %s", r.number, r.name), func(t *testing.T) {
			for _, l := range r.lines {
				l.check(t)
			}
		})
	}
}

func (l *line) check(t *testing.T) {
	t.Helper()
	switch l.about {
	case "request":
		got := Canonical{Path: "left over from another request"}
		f := Canonicalise(&l.raw, &got)
		if f.String() != l.fault || f.Ambiguous() != l.ambiguous {
			t.Errorf("%s\nfault %q, ambiguous %t", cut(l.text), f, f.Ambiguous())
		} else if got != l.want {
			t.Errorf("%s\ngot  %+v\nwant %+v", cut(l.text), got, l.want)
		}
	case "hostname":
		if got, ok := CanonicalHost(l.in); got != l.out || ok != l.ok {
			t.Errorf("%s\ngot %q, %t", cut(l.text), got, ok)
		}
	case "address":
		got, ok := SourceIP(l.in)
		if ok != l.ok || ok && got.String() != l.out || !ok && got.IsValid() {
			t.Errorf("%s\ngot %v, %t", cut(l.text), got, ok)
		}
	}
}

func cut(s string) string { return s[:min(len(s), 300)] }

var (
	rowHead   = regexp.MustCompile(`^([0-9]{3}) (\S.*)$`)
	elsewhere = regexp.MustCompile(`^elsewhere [a-z]+: \S`)
)

func readCatalogue(tb testing.TB) []row {
	tb.Helper()
	f, err := os.Open("testdata/catalogue.txt")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	var rows []row
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		text := in.Text()
		switch m := rowHead.FindStringSubmatch(text); {
		case text == "" || strings.HasPrefix(text, "#"):
		case m != nil:
			number, _ := strconv.Atoi(m[1])
			rows = append(rows, row{number: number, name: m[2]})
		case strings.HasPrefix(text, "  ") && len(rows) > 0:
			l, err := readLine(strings.TrimSpace(text))
			if err != nil {
				tb.Fatalf("catalogue.txt:%d: %v", n, err)
			}
			rows[len(rows)-1].lines = append(rows[len(rows)-1].lines, l)
		default:
			tb.Fatalf("catalogue.txt:%d: neither row nor line: %q", n, text)
		}
	}
	if err := in.Err(); err != nil {
		tb.Fatal(err)
	}
	return rows
}

func readLine(text string) (l line, err error) {
	l = line{text: text, about: "request"}
	if strings.HasPrefix(text, "elsewhere ") {
		if l.about = "elsewhere"; !elsewhere.MatchString(text) {
			return l, fmt.Errorf("an owner and a reason are needed: %q", text)
		}
		return l, nil
	}
	w := words{rest: text}
	l.raw = Raw{Method: "GET", Host: "api.example.com", Target: "/admin/1"}
	for word := w.word(); word != "=>"; word = w.word() {
		switch word {
		case "method":
			l.raw.Method = w.value()
		case "host":
			l.raw.Host = w.value()
		case "target":
			l.raw.Target = w.value()
		case "decoded":
			l.raw.Decoded = true
		case "header":
			l.raw.Headers = append(l.raw.Headers, Header{Name: w.value(), Value: w.value()})
		case "fields":
			n, err := strconv.Atoi(w.word())
			if err != nil {
				return l, err
			}
			l.raw.Headers = append(l.raw.Headers, slices.Repeat([]Header{{"x-a", "b"}}, n)...)
		case "hostname", "address":
			l.about, l.in = word, w.value()
		default:
			return l, fmt.Errorf("unknown input %q", word)
		}
	}
	l.outcome(&w)
	if w.err == nil && w.rest != "" {
		w.err = fmt.Errorf("left over: %q", w.rest)
	}
	return l, w.err
}

func (l *line) outcome(w *words) {
	switch word := w.word(); {
	case word == "none" && l.about != "request":
	case word == "is" && l.about != "request":
		l.ok, l.out = true, w.value()
	case (word == "refused" || word == "ambiguous") && l.about == "request":
		l.fault, l.ambiguous = w.value(), word == "ambiguous"
		known := slices.ContainsFunc(Faults(), func(f Fault) bool { return f.String() == l.fault })
		if !known && w.err == nil {
			w.err = fmt.Errorf("no such fault: %q", l.fault)
		}
	case word == "ok" && l.about == "request":
		method, _ := ParseMethod(l.raw.Method)
		l.want = Canonical{Method: method, Host: l.raw.Host, Path: l.raw.Target}
		l.fields(w)
	default:
		w.err = fmt.Errorf("unknown outcome %q", word)
	}
}

func (l *line) fields(w *words) {
	for w.rest != "" && w.err == nil {
		switch field := w.word(); field {
		case "path":
			l.want.Path = w.value()
		case "other-path":
			l.want.OtherPath = w.value()
		case "query":
			l.want.Query = w.value()
		case "host":
			l.want.Host = w.value()
		case "authorization":
			l.want.Authorization = w.value()
		case "upgrade":
			l.want.Upgrade = w.value()
		case "request-id":
			l.want.RequestID = w.value()
		case "override":
			l.want.Override, _ = ParseMethod(w.word())
		case "trailing-slash":
			l.want.TrailingSlash = true
		case "query-token":
			l.want.HasQueryToken = true
		default:
			w.err = fmt.Errorf("unknown field %q", field)
		}
	}
}

// words reads a line from the left. After the first error it reads nothing.
type words struct {
	rest string
	err  error
}

func (w *words) word() string {
	word, rest, _ := strings.Cut(w.rest, " ")
	w.rest = strings.TrimLeft(rest, " ")
	if word == "" && w.err == nil {
		w.err = fmt.Errorf("ends too early")
	}
	if w.err != nil {
		return "=>"
	}
	return word
}

// value reads "literal"*N + … without blanks around the signs.
func (w *words) value() string {
	var all strings.Builder
	for more := true; more && w.err == nil; {
		quoted, err := strconv.QuotedPrefix(w.rest)
		if err != nil {
			w.err = fmt.Errorf("no string literal at %q", w.rest)
			return ""
		}
		w.rest = w.rest[len(quoted):]
		part, _ := strconv.Unquote(quoted)
		if times, found := strings.CutPrefix(w.rest, "*"); found {
			end := strings.IndexFunc(times+" ", func(r rune) bool { return r < '0' || r > '9' })
			n, err := strconv.Atoi(times[:end])
			if err != nil {
				w.err = err
				return ""
			}
			part, w.rest = strings.Repeat(part, n), times[end:]
		}
		all.WriteString(part)
		w.rest, more = strings.CutPrefix(w.rest, "+")
	}
	w.rest = strings.TrimLeft(w.rest, " ")
	return all.String()
}
