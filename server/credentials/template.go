package credentials

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The placeholders that a template may hold.
const (
	principalID     = "principal.id"
	principalTenant = "principal.tenant"
	principalClient = "principal.client"
	decisionID      = "decision.id"
	aliasName       = "alias"
)

var placeholders = []string{principalID, principalTenant, principalClient, decisionID, aliasName}

// values are what placeholders stand for in one session.
type values map[string]string

// part is a literal text or a placeholder.
type part struct {
	text string
	from string // placeholder; "": text is meant
}

// template is a text with placeholders.
type template []part

// parseTemplate reads a text. A brace is there for a placeholder only; behind a `$` it is one of IAM's own variables, such as
// ${aws:PrincipalTag/team}, and stays as it is.
func parseTemplate(text string) (template, error) {
	var t template
	literal := ""
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			literal += text
			break
		}
		end := strings.IndexByte(text[i:], '}') + i
		if text[i] == '}' || end < i {
			return nil, errors.New("a brace that belongs to no placeholder")
		}
		name := text[i+1 : end]
		known := slices.Contains(placeholders, name)
		switch variable := i > 0 && text[i-1] == '$'; {
		case variable && known:
			return nil, fmt.Errorf("${%s} is no variable of IAM; write {%s}", name, name)
		case variable:
			literal += text[:end+1]
		case known:
			t = append(t, part{text: literal + text[:i]}, part{from: name})
			literal = ""
		default:
			return nil, fmt.Errorf("{%s} is no placeholder; there are {%s}", name, strings.Join(placeholders, "}, {"))
		}
		text = text[end+1:]
	}
	return append(t, part{text: literal}), nil
}

// fill puts in the values, each as put has it.
func (t template) fill(v values, put func(name, value string) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range t {
		if p.from == "" {
			b.WriteString(p.text)
			continue
		}
		value := v[p.from]
		if value == "" {
			return "", fmt.Errorf("there is no {%s} in the caller's token", p.from)
		}
		text, err := put(p.from, value)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// literals are the characters that are there whatever the values.
func (t template) literals() string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
	}
	return b.String()
}
