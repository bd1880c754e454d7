package credentials

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the operator's files, in bytes.
const maxFile = 1 << 20

// LoadRoles reads the operator's file, which docs/aws-credentials.md describes. Names of other files in it start from its
// folder. Its error has every problem, each with the line.
func LoadRoles(name string) (*Roles, error) {
	content, err := readFile(name)
	if err != nil {
		return nil, err
	}
	roles, err := parseRoles(content, filepath.Dir(name))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return roles, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = fmt.Errorf("%s: over %d bytes", name, maxFile)
	}
	return content, err
}

// parseRoles reads the content of such a file; names of files in it start from folder.
func parseRoles(content []byte, folder string) (*Roles, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it is empty")
	case err != nil:
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it holds more than one document")
	}
	d := &fileReader{folder: folder}
	r := &Roles{byAlias: map[string]*role{}}
	var aliases *yaml.Node
	d.object(document.Content[0], "", map[string]read{
		"api": d.text(&r.api), "roles": func(n *yaml.Node, _ string) { aliases = n },
	})
	if r.api == "" && len(d.problems) == 0 {
		d.bad(document.Content[0], "api", "none; which api has the permissions %s{alias}?", permissionPrefix)
	}
	if aliases != nil {
		d.members(aliases, "roles", func(key, value *yaml.Node) {
			r.byAlias[key.Value] = d.role(key, value)
		})
	}
	if len(r.byAlias) == 0 && len(d.problems) == 0 {
		d.bad(document.Content[0], "roles", "none; nobody could have credentials")
	}
	if err := errors.Join(d.problems...); err != nil {
		return nil, err
	}
	return r, nil
}

// fileReader reads a document strictly and collects everything that is wrong with it.
type fileReader struct {
	folder   string
	problems []error
}

// read reads the value at a place of the document.
type read func(n *yaml.Node, place string)

func (d *fileReader) bad(n *yaml.Node, place, format string, args ...any) {
	if place != "" {
		place += ": "
	}
	d.problems = append(d.problems, fmt.Errorf("line %d: %s"+format, append([]any{n.Line, place}, args...)...))
}

// object reads keys and values with no other keys than those of fields.
func (d *fileReader) object(n *yaml.Node, place string, fields map[string]read) {
	d.members(n, place, func(key, value *yaml.Node) {
		at := key.Value
		if place != "" {
			at = place + "." + at
		}
		f, known := fields[key.Value]
		if !known {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			d.bad(key, at, "unknown key; there are %s", strings.Join(names, ", "))
			return
		}
		f(value, at)
	})
}

// members calls each for every key, and refuses one that is there twice.
func (d *fileReader) members(n *yaml.Node, place string, each func(key, value *yaml.Node)) {
	n = target(n)
	if n.Kind != yaml.MappingNode {
		d.bad(n, place, "want keys and values, got %s", kindOf(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.bad(key, place, "want a text for a key, got %s", kindOf(key))
		case seen[key.Value]:
			d.bad(key, place, "%s is there twice", key.Value)
		default:
			seen[key.Value] = true
			each(key, target(n.Content[i+1]))
		}
	}
}

func (d *fileReader) text(into *string) read {
	return func(n *yaml.Node, place string) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" || n.Value == "" {
			d.bad(n, place, "want a text, got %s; leave the key out, or put quotes around", kindOf(n))
			return
		}
		*into = n.Value
	}
}

func (d *fileReader) texts(each func(n *yaml.Node, place, text string)) read {
	return func(n *yaml.Node, place string) {
		if n.Kind != yaml.SequenceNode {
			d.bad(n, place, "want a list, got %s", kindOf(n))
			return
		}
		for i, item := range n.Content {
			item = target(item)
			at, text := fmt.Sprintf("%s[%d]", place, i), ""
			if d.text(&text)(item, at); text != "" {
				each(item, at, text)
			}
		}
	}
}

// content reads the file that a text names.
func (d *fileReader) content(n *yaml.Node, place, name string) []byte {
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.folder, name)
	}
	content, err := readFile(name)
	if err != nil {
		d.bad(n, place, "%v", err)
		return nil
	}
	return content
}

// target is what an anchor's alias stands for, or the node itself.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// kindOf says what a node is, and not what it holds: it may have been meant for another file.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	case n.ShortTag() == "!!str" && n.Value == "":
		return "an empty text"
	case n.ShortTag() == "!!str":
		return "a text"
	}
	return strings.TrimPrefix(n.ShortTag(), "!!")
}
