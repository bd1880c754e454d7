package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// spoolKnows are the fields that are no part of the encoding: where it lies says them.
var spoolKnows = map[string]bool{"Instance": true, "Epoch": true, "Seq": true, "Leaf": true}

// filled is a record whose field of that name, or whose every field with "", is set to something.
func filled(t *testing.T, field string) store.Decision {
	t.Helper()
	var d store.Decision
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if field != "" && field != name || spoolKnows[name] {
			continue
		}
		switch f := v.Field(i); f.Interface().(type) {
		case string:
			f.SetString("text of " + name + " \x00\xff é")
		case bool:
			f.SetBool(true)
		case int16:
			f.SetInt(-300)
		case uint64:
			f.SetUint(1<<63 + 7)
		case time.Duration:
			f.SetInt(-1_234_567_891)
		case time.Time:
			f.Set(reflect.ValueOf(time.Date(2026, 11, 21, 8, 33, 1, 123_456_000, time.UTC)))
		case []string:
			f.Set(reflect.ValueOf([]string{name, "", strings.Repeat("x", 300)}))
		default:
			t.Fatalf("%s is a %s, which this test cannot set", name, f.Type())
		}
	}
	return d
}

func TestEveryFieldSurvivesTheSpool(t *testing.T) {
	names := map[string]string{"all fields": ""}
	for i := range reflect.TypeFor[store.Decision]().NumField() {
		name := reflect.TypeFor[store.Decision]().Field(i).Name
		if spoolKnows[name] {
			continue
		}
		names[name+" alone"] = name
	}
	for name, field := range names {
		t.Run(name, func(t *testing.T) {
			want := filled(t, field)
			encoded := appendDecision(nil, &want)
			got, err := decodeDecision(encoded)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
			}
			again := appendDecision([]byte("before"), &want)
			if string(again) != "before"+string(encoded) {
				t.Error("encoding twice gives two encodings")
			}
			clear(encoded)
			if !reflect.DeepEqual(got, want) {
				t.Error("the record shares memory with its encoding")
			}
		})
	}
}

func TestTheZeroRecordSurvivesTheSpool(t *testing.T) {
	got, err := decodeDecision(appendDecision(nil, &store.Decision{}))
	if err != nil || !reflect.DeepEqual(got, store.Decision{}) {
		t.Errorf("%+v %v", got, err)
	}
}

// The bytes that binaries in the field have written, and their successors have to read.
func TestTheEncodingIsWhatItWas(t *testing.T) {
	d := store.Decision{
		ID: "id", At: time.UnixMicro(1).UTC(), Allowed: true, Reason: 2, Detail: "de", Revision: 300, PrincipalKind: 3, TenantID: "t",
		Permissions: []string{"p", "q"}, Took: 5, RequestID: "r",
	}
	const upToFacets = "026964" + "026465" + "0174" + "000000000000000000000000" + "0172" + "0000"
	const first = "0101" + "020a0406ac02" + upToFacets + "0201700171" + "00"
	if got, err := decodeDecision(unhex(t, first)); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("version 1 is read as %+v, %v", got, err)
	}
	if got, err := decodeDecision(unhex(t, first+"00")); !errors.Is(err, errMalformed) {
		t.Errorf("version 1 with a list more is read as %+v, %v", got, err)
	}

	d.Repeats, d.SourceIP = 200, "ip"
	d.Subjects, d.Missing, d.GrantSubjects = []string{"s"}, []string{"m"}, []string{"g", ""}
	const second = "0201" + "020a0406ac02" + "c801" + upToFacets + "026970" + "0201700171" + "00" + "010173" + "00" + "01016d" + "02016700"
	if got := fmt.Sprintf("%x", appendDecision(nil, &d)); got != second {
		t.Errorf("got  %s\nwant %s", got, second)
	}
	if got, err := decodeDecision(unhex(t, second)); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("version 2 is read as %+v, %v", got, err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	whole := filled(t, "")
	good := appendDecision(nil, &whole)
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), good...)
		b[at] = to
		return b
	}
	for name, tc := range map[string]struct {
		in  []byte
		err error
	}{
		"nothing":                      {nil, errMalformed},
		"a version alone":              {[]byte{recordVersion}, errMalformed},
		"version 0":                    {change(0, 0), errMalformed},
		"a version of the future":      {change(0, recordVersion+1), errNewer},
		"an effect that is none":       {change(1, 2), errMalformed},
		"bytes behind the record":      {append(append([]byte(nil), good...), 0), errMalformed},
		"a reason that is too large":   {append([]byte{recordVersion, 0, 0, 0, 0x80, 0x80, 0x04}, make([]byte, 20)...), errMalformed},
		"a text longer than the bytes": {append([]byte{recordVersion, 0, 0, 0, 0, 0, 0, 0, 100}, make([]byte, 24)...), errMalformed},
		"a list longer than the bytes": {append([]byte{recordVersion, 0, 0, 0, 0, 0, 0, 0}, append(make([]byte, 19), 0xff, 0xff, 0x03, 0, 0, 0, 0, 0)...), errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if d, err := decodeDecision(tc.in); !errors.Is(err, tc.err) {
				t.Errorf("%+v %v, want %v", d, err, tc.err)
			}
		})
	}
	for n := range good {
		if _, err := decodeDecision(good[:n]); err == nil {
			t.Fatalf("cut at %d it is taken", n)
		}
	}
}

func FuzzDecodeDecision(f *testing.F) {
	f.Add(appendDecision(nil, &store.Decision{}))
	f.Add(appendDecision(nil, &store.Decision{ID: "x", Allowed: true, Permissions: []string{"a", ""}, Grants: []string{"g"}, Took: -1}))
	f.Add([]byte{recordVersion, 1, 0xff})
	f.Add(append([]byte{1, 1}, make([]byte, 5+textsOf1+listsOf1)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := decodeDecision(b)
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, errNewer) {
				t.Errorf("an error without a name: %v", err)
			}
			return
		}
		shortest := appendDecision(nil, &d)
		grown := 0
		if b[0] == 1 {
			grown = 1 + len(texts(&d)) - textsOf1 + len(lists(&d)) - listsOf1 // a byte for each new field that is empty
		}
		if len(shortest) > len(b)+grown {
			t.Errorf("%x became longer: %x", b, shortest)
		}
		again, err := decodeDecision(shortest)
		if err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%x: %v\n%+v\n%+v", b, err, d, again)
		}
	})
}
