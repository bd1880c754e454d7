package sqlite

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// jsonOf is a list as it is kept: JSON text, [] for none.
func jsonOf[T any](l []T) string {
	if len(l) == 0 {
		return "[]"
	}
	b, err := json.Marshal(l)
	if err != nil {
		panic(fmt.Sprintf("marshal %T: %v", l, err)) // strings and structs of strings always can be
	}
	return string(b)
}

// listInto scans what jsonOf wrote; none comes back as nil.
func listInto[T any](dst *[]T) sql.Scanner { return listScanner[T]{dst} }

type listScanner[T any] struct{ dst *[]T }

func (s listScanner[T]) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("a list is %T, not text", v)
	}
	*s.dst = nil
	if text == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(text), s.dst)
}

// micros is an instant as it is kept; the zero time is NULL.
func micros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func timeOf(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return time.UnixMicro(us.Int64).UTC()
}

// number is a revision as the database can compare it: one that is too large for it is larger than all there are.
func number(rev uint64) int64 { return int64(min(rev, store.MaxRevision)) }
