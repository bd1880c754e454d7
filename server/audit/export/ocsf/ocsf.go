// Package ocsf writes decision records as events of the Open Cybersecurity Schema Framework, class API Activity (6003). The
// class for an authorization decision does not exist; this one has who, what, from where and how it ended. What it has no
// place for is under unmapped, by the names that verdict uses. mapping.go is the whole mapping.
package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/verdict-authz/verdict/store"
)

// Version is that of the schema which events are written to. Attributes move between versions, so it is raised by hand.
const Version = "1.7.0"

// The class and what follows from it.
const (
	classUID    = 6003
	categoryUID = 6
)

// AppendJSON appends d as one line of JSON, without the line end. Equal records have equal lines.
func AppendJSON(b []byte, d *store.Decision) ([]byte, error) {
	out := bytes.NewBuffer(b)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event(d)); err != nil {
		return b, fmt.Errorf("decision %s as OCSF: %w", d.ID, err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// event is d by the table. What a record does not have is left out.
func event(d *store.Decision) map[string]any {
	root := make(map[string]any)
	for _, a := range mapping {
		v := a.value(d)
		if absent(v) {
			continue
		}
		place(root, a.path, v)
	}
	return root
}

func absent(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return false
}

// place puts v where the path says; objects on the way are made.
func place(into map[string]any, path string, v any) {
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			into[name] = v
			return
		}
		next, ok := into[name].(map[string]any)
		if !ok {
			next = make(map[string]any)
			into[name] = next
		}
		into, path = next, rest
	}
}
