package export

import (
	"fmt"

	"github.com/verdict-authz/verdict/server/audit/export/ocsf"
	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/store"
)

// Shape is how a record is written as JSON. The zero value is Native.
type Shape uint8

// The shapes.
const (
	Native Shape = iota // verdict.v1.DecisionRecord
	OCSF                // API Activity of OCSF; see package ocsf
)

// String is the word that configuration uses.
func (s Shape) String() string {
	if s == OCSF {
		return "ocsf"
	}
	return "native"
}

// ParseShape reads the word that configuration uses.
func ParseShape(text string) (Shape, error) {
	switch text {
	case "native":
		return Native, nil
	case "ocsf":
		return OCSF, nil
	}
	return Native, fmt.Errorf("shape %q: neither native nor ocsf", text)
}

// Append appends d as one line of JSON, without the line end. Equal records have equal lines.
func (s Shape) Append(b []byte, d *store.Decision) ([]byte, error) {
	if s == OCSF {
		return ocsf.AppendJSON(b, d)
	}
	return shape.AppendJSON(b, d)
}
