package shape_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/audit/shape"
	"github.com/verdict-authz/verdict/store"
)

// full has every field set, by reflection, so that a new one cannot be left out.
func full(t *testing.T) store.Decision {
	t.Helper()
	d := store.Decision{ID: "019a0000-0000-7000-8000-00000000000a", At: time.Date(2026, 11, 21, 10, 0, 0, 123456000, time.UTC), Took: 42 * time.Microsecond}
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.IsZero() {
			continue
		}
		switch f.Kind() {
		case reflect.String:
			f.SetString("text of " + v.Type().Field(i).Name + ` <&"\ü`)
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Int16:
			f.SetInt(2)
		case reflect.Uint64:
			f.SetUint(1<<53 + 1) // more than a JSON number holds
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.String {
				f.Set(reflect.ValueOf([]string{"one", v.Type().Field(i).Name}))
			}
		default:
			t.Fatalf("a field of a kind that this test does not know: %s", v.Type().Field(i).Name)
		}
	}
	return d
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	d := full(t)
	for name, want := range map[string]store.Decision{
		"all fields": d, "hardly any": {ID: d.ID, At: d.At},
	} {
		t.Run(name, func(t *testing.T) {
			line, err := shape.AppendJSON([]byte("before "), &want)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := shape.AppendJSON(nil, &want)
			if string(line) != "before "+string(again) || strings.ContainsAny(string(again), "\n") {
				t.Errorf("twice: %s\n%s", line, again)
			}
			got, err := shape.ParseJSON(again)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
			}
		})
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	for name, line := range map[string]string{
		"not JSON": "{", "no id": `{"time":"2026-11-21T10:00:00Z"}`, "no time": `{"id":"019a0000-0000-7000-8000-00000000000a"}`,
		"a reason that is no reason": `{"id":"019a0000-0000-7000-8000-00000000000a","time":"2026-11-21T10:00:00Z","reason":70000}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := shape.ParseJSON([]byte(line)); !errors.Is(err, store.ErrInvalid) {
				t.Error(err)
			}
		})
	}
}
