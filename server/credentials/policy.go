package credentials

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// policyVersion is the one in which IAM's variables are variables. In the older one they are text, so that a policy would not
// say what it seems to say.
const policyVersion = "2012-10-17"

// parsePolicy reads a session policy, JSON whose strings, but for the names of members, may hold placeholders. The template has
// it without spaces.
func parsePolicy(text []byte) (template, error) {
	compact := jsontext.Value(bytes.Clone(text))
	if err := compact.Compact(); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", plainJSON(err))
	}
	w := policyReader{text: compact, decoder: jsontext.NewDecoder(bytes.NewReader(compact))}
	if err := w.read(); err != nil {
		return nil, err
	}
	switch {
	case !w.object || !w.statement:
		return nil, errors.New("it is no policy: an object with Version and Statement")
	case w.version != policyVersion:
		return nil, fmt.Errorf("its Version must be %q", policyVersion)
	}
	for _, r := range w.filled.literals() {
		if r > 0xff { // all that STS takes
			return nil, fmt.Errorf("STS takes no %q in a policy", r)
		}
	}
	return w.filled, nil
}

// policyReader takes a compact policy apart, string by string.
type policyReader struct {
	text    jsontext.Value
	decoder *jsontext.Decoder
	filled  template
	literal []byte // not in filled yet

	object, statement bool
	version           string
	member            string // name of the member of the policy that was read last
}

func (r *policyReader) read() error {
	from := int64(0)
	for first := true; ; first = false {
		token, err := r.decoder.ReadToken()
		if errors.Is(err, io.EOF) {
			r.filled = append(r.filled, part{text: string(r.literal)})
			return nil
		}
		if err != nil { // a member that is there twice; the rest was read before
			return fmt.Errorf("it is no JSON: %w", plainJSON(err))
		}
		r.object = r.object || first && token.Kind() == '{'
		to := r.decoder.InputOffset()
		raw := r.text[from:to]
		from = to
		if token.Kind() != '"' {
			r.literal = append(r.literal, raw...)
			continue
		}
		before := raw[:bytes.IndexByte(raw, '"')] // a comma or colon
		r.literal = append(r.literal, before...)
		if err := r.str(token.String(), raw[len(before):]); err != nil {
			return err
		}
	}
}

// str takes one string: decoded, and as it stands.
func (r *policyReader) str(text string, raw []byte) error {
	parts, err := parseTemplate(text)
	if err != nil {
		return fmt.Errorf("at %s: %w", r.decoder.StackPointer(), err)
	}
	kind, length := r.decoder.StackIndex(r.decoder.StackDepth())
	name := kind == '{' && length%2 == 1
	if r.decoder.StackDepth() == 1 {
		switch {
		case name:
			r.member = text
			r.statement = r.statement || text == "Statement"
		case r.member == "Version":
			r.version = text
		}
	}
	if name {
		if len(parts) > 1 {
			return fmt.Errorf("at %s: a placeholder cannot stand in a name", r.decoder.StackPointer())
		}
		r.literal = append(r.literal, raw...)
		return nil
	}
	r.literal = append(r.literal, '"')
	for _, p := range parts {
		if p.from == "" {
			r.literal = append(r.literal, quoted(p.text)...)
			continue
		}
		r.filled = append(r.filled, part{text: string(r.literal)}, p)
		r.literal = nil
	}
	r.literal = append(r.literal, '"')
	return nil
}

// quoted is text as it stands within a JSON string.
func quoted(text string) []byte {
	whole, err := jsontext.AppendQuote(nil, strings.ToValidUTF8(text, "\ufffd"))
	if err != nil { // only of text that is not UTF-8
		return nil
	}
	return whole[1 : len(whole)-1]
}

// plainJSON is a decoder's error without what it stumbled over.
func plainJSON(err error) error {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fmt.Errorf("%w at byte %d", syntax.Err, syntax.ByteOffset)
	}
	return err
}

// fillPolicy puts values into a policy. IAM reads `*` and `?` as wildcards and `$` as the start of a variable, and `/` and `:`
// are what parts of an ARN are told apart by. No id of Entra has any of them, so a value with another character than those of
// ids is refused; what is left is quoted all the same.
func fillPolicy(t template, v values, arns []string) (string, error) {
	if len(t) == 0 {
		return "", checkPolicySize("", arns)
	}
	text, err := t.fill(v, func(name, value string) (string, error) {
		if len(value) > maxTagValue || strings.Trim(value, idCharacters) != "" {
			return "", fmt.Errorf("{%s} has characters that cannot stand in a policy", name)
		}
		return string(quoted(value)), nil
	})
	if err != nil {
		return "", err
	}
	return text, checkPolicySize(text, arns)
}

// idCharacters are those of ids: no wildcard, no separator of an ARN or a path, nothing that JSON escapes.
const idCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.@=+"

func checkPolicySize(text string, arns []string) error {
	n := utf8.RuneCountInString(text)
	for _, arn := range arns {
		n += len(arn)
	}
	if n > maxPolicy {
		return fmt.Errorf("policy and policy_arns have %d characters; STS takes %d", n, maxPolicy)
	}
	return nil
}
