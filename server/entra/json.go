package entra

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

var (
	errDepth = errors.New("nested too deep")
	errShape = errors.New("not one object")
)

// reader walks one JSON object strictly: unique names at every level, valid UTF-8, no lone surrogates, nothing after the
// object, bounded depth. It hands out views of the text it was opened on.
type reader struct {
	dec   jsontext.Decoder
	src   bytes.Buffer
	text  []byte
	depth int
}

// open starts on text, whose outermost object is at depth 1 of maxDepth.
func (r *reader) open(text []byte, maxDepth int) error {
	r.text, r.depth = text, maxDepth
	r.src = *bytes.NewBuffer(text)
	r.dec.Reset(&r.src)
	tok, err := r.dec.ReadToken()
	if err != nil {
		return err
	}
	if tok.Kind() != '{' {
		return errShape
	}
	return nil
}

// close forgets the text.
func (r *reader) close() {
	r.text = nil
	r.src = bytes.Buffer{}
	r.dec.Reset(&r.src)
}

// next reads the next member's name; false at the end of the object, after which nothing may follow.
func (r *reader) next() (name []byte, more bool, err error) {
	if r.dec.PeekKind() == '}' {
		if _, err := r.dec.ReadToken(); err != nil {
			return nil, false, err
		}
		if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
			return nil, false, errShape
		}
		return nil, false, nil
	}
	name, err = r.str()
	return name, err == nil, err
}

// kind is the kind of the next value: one of n t f " 0 { [, or 0 when it is not JSON.
func (r *reader) kind() jsontext.Kind { return r.dec.PeekKind() }

// str reads a string or a name. The result is a view of the text unless escapes had to be resolved.
func (r *reader) str() ([]byte, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, err
	}
	raw := r.view(len(v))
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], nil
	}
	return jsontext.AppendUnquote(nil, raw)
}

// integer reads a number; ok is false for a fraction, an exponent, or what is beyond ±2^53.
func (r *reader) integer() (n int64, ok bool, err error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return 0, false, err
	}
	if len(v) > 17 {
		return 0, false, nil
	}
	n, err = strconv.ParseInt(string(v), 10, 64)
	if err != nil || n > 1<<53 || n < -1<<53 {
		return 0, false, nil //nolint:nilerr // a number of another shape is an answer
	}
	return n, true, nil
}

// skip reads one value of any kind, within the depth.
func (r *reader) skip() error {
	base := r.dec.StackDepth()
	for {
		if _, err := r.dec.ReadToken(); err != nil {
			return err
		}
		if r.dec.StackDepth() > r.depth {
			return errDepth
		}
		if r.dec.StackDepth() == base {
			return nil
		}
	}
}

// begin reads the start of an array or an object.
func (r *reader) begin() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	if r.dec.StackDepth() > r.depth {
		return errDepth
	}
	return nil
}

// view is the last n bytes read.
func (r *reader) view(n int) []byte {
	end := int(r.dec.InputOffset())
	return r.text[end-n : end]
}
