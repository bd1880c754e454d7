package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/review/report"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const tenant = "11111111-1111-4111-8111-111111111111"

var at = time.Date(2026, 11, 21, 10, 5, 0, 0, time.UTC)

func ago(days int) *timestamppb.Timestamp {
	return timestamppb.New(at.AddDate(0, 0, -days))
}

func allow(id, api, subject, name string, permissions ...string) *verdictv1.GrantReview {
	return &verdictv1.GrantReview{
		Grant: &verdictv1.Grant{
			Id: id, Api: api, Subject: subject, SubjectDisplayName: name, Permissions: permissions, Effect: verdictv1.GrantEffect_GRANT_EFFECT_ALLOW,
		},
		Permissions: permissions,
	}
}

// small is a review with one of everything.
func small() *verdictv1.AccessReviewResponse {
	readers := allow("readers", "orders", "group:"+tenant+"/aaaaaaaa-0001-4000-8000-000000000001", "Orders readers", "orders.read")
	readers.FirstUsed, readers.LastUsed, readers.Principals = ago(300), ago(1), 12
	writers := allow("writers", "orders", "group:"+tenant+"/aaaaaaaa-0002-4000-8000-000000000002", "Orders writers", "orders.*")
	writers.Permissions = []string{"orders.read", "orders.write"}
	writers.LastUsed, writers.Principals, writers.Unused = ago(120), 2, true
	writers.Grant.Condition = `context.ip in "10.0.0.0/8"`
	soon := allow("soon", "orders", "user:"+tenant+"/bbbbbbbb-0001-4000-8000-000000000001", "Alice", "orders.read")
	soon.LastUsed, soon.Principals, soon.Expiring = ago(2), 1, true
	soon.Grant.ExpiresAt = timestamppb.New(at.AddDate(0, 0, 10))
	ended := allow("ended", "reports", "approle:reports/Run", "", "reports.run")
	ended.Unused, ended.Expired, ended.Grant.ExpiresAt = true, true, ago(5)
	never := allow("never", "reports", "tenant:"+tenant, "", "reports.run")
	never.Unused, never.Grant.Reason, never.Grant.Ticket = true, "everybody may", "T-7"
	deny := allow("keep", "orders", "tenant:"+tenant, "", "orders.delete")
	deny.Grant.Effect, deny.Unused = verdictv1.GrantEffect_GRANT_EFFECT_DENY, true
	deny.Permissions = []string{"orders.delete", "orders.write"}
	return &verdictv1.AccessReviewResponse{
		At: timestamppb.New(at), Revision: 42,
		Grants: []*verdictv1.GrantReview{soon, readers, writers, deny, ended, never},
		Changes: []*verdictv1.Change{
			{Trail: verdictv1.Trail_TRAIL_REVOCATION, Number: 3, Time: ago(1), Actor: "carol", Reason: "lost laptop", Ticket: "T-9", Total: 1},
			{Trail: verdictv1.Trail_TRAIL_POLICY, Number: 42, Time: ago(2), Actor: "dave", Total: 4},
			{Trail: verdictv1.Trail_TRAIL_POLICY, Number: 41, Time: ago(30), Actor: "carol", Reason: "onboarding", Total: 2},
			{Trail: verdictv1.Trail_TRAIL_TRUST, Number: 1, Time: ago(60), Actor: "dave", Reason: "new tenant", Total: 1},
		},
	}
}

func page(t *testing.T, r *verdictv1.AccessReviewResponse, o report.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteHTML(&b, r, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sheet(t *testing.T, r *verdictv1.AccessReviewResponse) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteCSV(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, got := range map[string]string{
		"small.html": page(t, small(), report.Options{Title: "Access review Q4", Organisation: "Contoso"}),
		"small.csv":  sheet(t, small()),
	} {
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs; run the test with -update and read the difference", name)
		}
	}
}

// hostile is what people may write into names and reasons to break out of a report.
var hostile = []string{
	`"><script>alert(1)</script>`, `</title><img src=x onerror=alert(1)>`, `</style><style>*{display:none}`, `<!--`, `-->`, `]]>`, `&lt;b&gt;`,
	`'"` + "`", `=HYPERLINK("http://x","y")`, "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a\r\nb", `a,"b"`, "\x00", "\u202egnp.exe", "{{.}}", `\u003c`,
	`</svg><svg onload=alert(1)>`, `url(javascript:alert(1))`, "\xff",
}

// dice draws reviews; the same seed draws the same.
type dice struct{ *rand.Rand }

func seeded(seed int) dice {
	return dice{rand.New(rand.NewPCG(uint64(seed), 1))}
}

func (d dice) text() string {
	if d.IntN(2) == 0 {
		return hostile[d.IntN(len(hostile))]
	}
	b := make([]byte, d.IntN(12))
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
	return string(b)
}

func (d dice) texts() []string {
	all := make([]string, d.IntN(4))
	for i := range all {
		all[i] = d.text()
	}
	return all
}

func (d dice) bool() bool { return d.IntN(2) == 0 }

func (d dice) when() *timestamppb.Timestamp {
	if d.bool() {
		return nil
	}
	return ago(d.IntN(900) - 400)
}

func (d dice) review() *verdictv1.AccessReviewResponse {
	r := &verdictv1.AccessReviewResponse{At: timestamppb.New(at), Revision: d.Uint64()}
	for range d.IntN(7) {
		r.Grants = append(r.Grants, &verdictv1.GrantReview{
			Grant: &verdictv1.Grant{
				Id: d.text(), Api: d.text(), Subject: d.text(), SubjectDisplayName: d.text(), Permissions: d.texts(), Condition: d.text(),
				Reason: d.text(), Ticket: d.text(), Effect: verdictv1.GrantEffect(d.IntN(3)), NotBefore: d.when(), ExpiresAt: d.when(),
			},
			Permissions: d.texts(), FirstUsed: d.when(), LastUsed: d.when(), Principals: d.Uint64(), Unused: d.bool(), Expiring: d.bool(), Expired: d.bool(),
		})
	}
	for range d.IntN(13) {
		r.Changes = append(r.Changes, &verdictv1.Change{
			Trail: verdictv1.Trail(d.IntN(4)), Number: d.Uint64(), Time: ago(d.IntN(5000) - 30), Actor: d.text(), Reason: d.text(), Ticket: d.text(),
			Total: d.Uint64(),
		})
	}
	return r
}

const draws = 400

// allowedElements and their attributes are all that the template has; what else turns up was written by somebody else.
var allowedElements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "", "header": "", "h1": "", "h2": "",
	"h3": "", "p": "class", "nav": "", "a": "href", "section": "id class", "dl": "class", "div": "class", "dd": "class", "dt": "", "figure": "",
	"figcaption": "", "svg": "viewBox role aria-label", "rect": "x y width height", "text": "x y class", "table": "", "thead": "", "tbody": "",
	"tr": "", "th": "scope class", "td": "class", "bdi": "class", "br": "", "span": "class",
}

var void = map[string]bool{"meta": true, "br": true}

// checkHTML walks a page: only elements and attributes of the template, each closed where it should be, links within the
// page only.
func checkHTML(page string) error {
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Strict = false
	dec.AutoClose = []string{"meta", "br"}
	dec.Entity = xml.HTMLEntity
	var open []string
	for {
		token, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch tok := token.(type) {
		case xml.StartElement:
			attrs, ok := allowedElements[tok.Name.Local]
			if !ok {
				return fmt.Errorf("element %s", tok.Name.Local)
			}
			for _, a := range tok.Attr {
				name := a.Name.Local
				if a.Name.Space != "" {
					name = a.Name.Space + ":" + name
				}
				if !strings.Contains(" "+attrs+" ", " "+name+" ") {
					return fmt.Errorf("attribute %s of %s", name, tok.Name.Local)
				}
				if name == "href" && !strings.HasPrefix(a.Value, "#") {
					return fmt.Errorf("link to %q", a.Value)
				}
			}
			if !void[tok.Name.Local] {
				open = append(open, tok.Name.Local)
			}
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != tok.Name.Local {
				return fmt.Errorf("%s ends within %v", tok.Name.Local, open)
			}
			open = open[:len(open)-1]
		case xml.Comment:
			return fmt.Errorf("comment %q", tok)
		case xml.ProcInst:
			return fmt.Errorf("instruction %q", tok.Target)
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("left open: %v", open)
	}
	return nil
}

func TestNothingBreaksOutOfThePage(t *testing.T) {
	for seed := range draws {
		d := seeded(seed)
		r := d.review()
		o := report.Options{Title: d.text(), Organisation: d.text(), MaxRows: d.IntN(5)}
		var first, again bytes.Buffer
		if err := errors.Join(report.WriteHTML(&first, r, o), report.WriteHTML(&again, r, o)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), again.Bytes()) {
			t.Fatal("the same review makes two different pages")
		}
		// What is no XML character is no matter of escaping; the walk cannot read it.
		clean := strings.Map(func(r rune) rune {
			if r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
				return '?'
			}
			return r
		}, strings.ToValidUTF8(first.String(), "?"))
		if err := checkHTML(clean); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func TestThePageChecksItself(t *testing.T) {
	for name, bad := range map[string]string{
		"a script":          "<p><script>x</script></p>",
		"a handler":         `<p onclick="x">y</p>`,
		"a link elsewhere":  `<a href="https://x/">y</a>`,
		"something open":    "<p><span>x</p>",
		"something outside": "<p>x</p></p>",
	} {
		t.Run(name, func(t *testing.T) {
			if checkHTML(bad) == nil {
				t.Error("passes")
			}
		})
	}
}

func TestThePolicyOfContentIsStrictAndNamesTheStyle(t *testing.T) {
	text := page(t, small(), report.Options{})
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(text)
	csp := regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(text)
	if style == nil || csp == nil {
		t.Fatal("no style or no policy")
	}
	sum := sha256.Sum256([]byte(style[1]))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if got := html.UnescapeString(csp[1]); got != want {
		t.Errorf("policy %s\nwant   %s", got, want)
	}
	for _, outside := range []string{"http:", "https:", "//", "url(", "@import", "style="} {
		if strings.Contains(text, outside) {
			t.Errorf("the page holds %q", outside)
		}
	}
}

func TestCSVCellsAreNoFormulas(t *testing.T) {
	for seed := range draws {
		r := seeded(seed).review()
		var b bytes.Buffer
		if err := report.WriteCSV(&b, r); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(bytes.NewReader(b.Bytes())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != len(r.GetGrants())+1 {
			t.Fatalf("%d rows of %d grants", len(rows), len(r.GetGrants()))
		}
		for _, row := range rows {
			if len(row) != len(rows[0]) {
				t.Fatalf("%d cells, want %d", len(row), len(rows[0]))
			}
			for _, c := range row {
				if c != "" && strings.ContainsAny(c[:1], "=+-@\t\r\n") {
					t.Fatalf("seed %d: cell %q", seed, c)
				}
			}
		}
	}
}

func TestCSVLinesEndAsRFC4180Says(t *testing.T) {
	for line := range strings.Lines(sheet(t, small())) {
		if !strings.HasSuffix(line, "\r\n") {
			t.Errorf("%q", line)
		}
	}
}

func TestWhatThePageTells(t *testing.T) {
	text := page(t, small(), report.Options{Title: "Q4 <review>", Organisation: "Contoso & Sons", UnusedAfter: 30 * 24 * time.Hour})
	for name, want := range map[string]string{
		"the title, escaped":           "<bdi>Q4 &lt;review&gt;</bdi>",
		"the organisation, escaped":    "Contoso &amp; Sons",
		"the revision":                 "revision 42 of the policy",
		"what unused means":            "not used for 30 days",
		"allow grants in force":        `<dt>allow grants in force</dt><dd class="value">4</dd>`,
		"denies":                       `<dt>deny grants</dt><dd class="value">1</dd>`,
		"unused":                       `<dt>unused for 30 days</dt><dd class="value">2</dd><dd class="note">50 % of those in force</dd>`,
		"ended":                        `<dt>ended, still in the policy</dt><dd class="value">1</dd>`,
		"wildcards":                    `<dt>with a wildcard</dt><dd class="value">1</dd>`,
		"whole tenants":                `<dt>to a whole tenant</dt><dd class="value">1</dd>`,
		"changes and administrators":   `<dt>changes by 2 administrators</dt><dd class="value">4</dd>`,
		"changes without a reason":     `<dt>changes without a reason</dt><dd class="value">1</dd>`,
		"a permission of a wildcard":   "<td><bdi>orders.write</bdi>",
		"a deny beside what it denies": `<td><bdi>orders.write</bdi><br><span class="mark">deny</span> <bdi class="id">keep</bdi></td>`,
		"nothing beside other things":  "<td><bdi>orders.read</bdi></td>",
		"a condition":                  "context.ip in &#34;10.0.0.0/8&#34;",
		"the age of what is unused":    "91 to 180 days: 1",
		"what has no use on record":    "no use on record: 1",
		"the week of a change":         "carol, week of 2026-11-16: 1 change",
		"repeated heads of tables":     "thead { display: table-header-group; }",
		"a place to sign":              "<div>Signature</div>",
		"a decision for each grant":    `<span class="box"></span>keep`,
		"a mark on what ends":          `<span class="mark">ends soon</span>`,
		"an unused grant of no person": "whole tenant",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s: no %q", name, want)
		}
	}
	if n := strings.Count(text, `<span class="box"></span>keep`); n != 4 {
		t.Errorf("%d decisions to make, want one for each allow grant in force", n)
	}
}

func TestTablesSayWhatTheyLeaveOut(t *testing.T) {
	text := page(t, small(), report.Options{MaxRows: 1})
	for _, want := range []string{
		"3 more rows are not printed here", // who can do what in orders, and the sign-off
		"1 more rows are not printed here", // unused; ending and ended
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestAnEmptyReview(t *testing.T) {
	text := page(t, &verdictv1.AccessReviewResponse{At: timestamppb.New(at)}, report.Options{})
	if err := checkHTML(text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "No grant is in force") {
		t.Error("it does not say that there is nothing")
	}
}

// A page of a hundred thousand grants is made in seconds, so nothing in it grows faster than they do.
func TestManyGrants(t *testing.T) {
	r := &verdictv1.AccessReviewResponse{At: timestamppb.New(at), Revision: 1}
	for i := range 100_000 {
		r.Grants = append(r.Grants, allow(fmt.Sprint("g-", i), fmt.Sprint("api-", i%7), fmt.Sprint("group:", tenant, "/", i), "Group", "p.read", "p.write"))
	}
	began := time.Now()
	if n := len(page(t, r, report.Options{})); n > 64<<20 {
		t.Errorf("%d bytes", n)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("takes %s", took)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	if report.WriteHTML(full{}, small(), report.Options{}) == nil || report.WriteCSV(full{}, small()) == nil {
		t.Error("no error")
	}
}
