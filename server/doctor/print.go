package doctor

import (
	"fmt"
	"io"
	"strings"
)

// The columns of a printed report: status, step, text. Lines are broken before lineWidth where a space allows it.
const (
	statusWidth = 8
	nameWidth   = 13
	indent      = statusWidth + nameWidth
	lineWidth   = 130
)

// Print writes r for people: a step a paragraph, and last what it comes to.
func (r *Report) Print(to io.Writer) error {
	var b strings.Builder
	var warning []string
	for _, s := range r.Steps {
		word := s.Status.String()
		switch s.Status {
		case Fail:
			word = "FAIL"
		case Warn:
			warning = append(warning, s.Name)
		case OK, Skipped:
		}
		fmt.Fprintf(&b, "%-*s%-*s%s\n", statusWidth, word, nameWidth, s.Name, s.Checked)
		paragraph(&b, "", s.Found)
		paragraph(&b, "cause: ", s.Cause)
		paragraph(&b, "fix:   ", s.Fix)
	}
	b.WriteByte('\n')
	if len(warning) > 0 {
		fmt.Fprintf(&b, "look at: %s\n", strings.Join(warning, ", "))
	}
	if failing := r.failing(); len(failing) > 0 {
		fmt.Fprintf(&b, "fails: %s\n", strings.Join(failing, ", "))
	} else {
		b.WriteString("nothing fails\n")
	}
	if r.Reason != "" {
		fmt.Fprintf(&b, "verdict refuses this token with %s\n", r.Reason)
	}
	_, err := io.WriteString(to, b.String())
	return err
}

// paragraph writes text under its label, broken into lines that begin where the first one does.
func paragraph(b *strings.Builder, label, text string) {
	if text == "" {
		return
	}
	fmt.Fprintf(b, "%*s%s", indent, "", label)
	column := indent + len(label)
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > lineWidth:
			fmt.Fprintf(b, "\n%*s", indent+len(label), "")
			column = indent + len(label)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}
