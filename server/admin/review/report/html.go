package report

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

//go:embed report.html.tmpl
var source string

var report = template.Must(template.New("report").Parse(source))

// policyOfContent lets the page do nothing but show itself with the one style sheet that it holds, which it names by hash.
// The style sheet stands in the template as it is written out; a test compares.
var policyOfContent = "default-src 'none'; style-src 'sha256-" + styleHash() + "'; base-uri 'none'; form-action 'none'"

func styleHash() string {
	_, rest, _ := strings.Cut(source, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Options say what a report says of itself. The zero value is usable.
type Options struct {
	Title          string        // empty: Access review
	Organisation   string        // whose policy it is; may be empty
	UnusedAfter    time.Duration // as the review was asked for; 0 means 90 days, as there
	ExpiringWithin time.Duration // as above; 0 means 30 days
	MaxRows        int           // of one table; what is left out is counted below it. 0 means 5000
}

// WriteHTML writes a review as one HTML file that needs nothing beside it.
func WriteHTML(w io.Writer, r *verdictv1.AccessReviewResponse, o Options) error {
	o.Title = cmp.Or(o.Title, "Access review")
	o.UnusedAfter = cmp.Or(o.UnusedAfter, 90*24*time.Hour)
	o.ExpiringWithin = cmp.Or(o.ExpiringWithin, 30*24*time.Hour)
	o.MaxRows = cmp.Or(max(o.MaxRows, 0), 5000)
	out := bufio.NewWriter(w)
	err := report.Execute(out, newPage(r, o))
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return fmt.Errorf("write HTML: %w", err)
	}
	return nil
}
