package request

import (
	"slices"
	"strings"
	"testing"
)

// punyEncode is RFC 3492 §6.3, written from its pseudocode.
func punyEncode(label []rune) string {
	var out strings.Builder
	for _, r := range label {
		if r < 0x80 {
			out.WriteRune(r)
		}
	}
	handled := out.Len()
	basic := handled
	if basic > 0 {
		out.WriteByte('-')
	}
	n, delta, bias := rune(128), 0, 72
	for handled < len(label) {
		m := slices.MinFunc(label, func(a, b rune) int {
			if a < n {
				a = 0x7fffffff
			}
			if b < n {
				b = 0x7fffffff
			}
			return int(a) - int(b)
		})
		delta += int(m-n) * (handled + 1)
		n = m
		for _, r := range label {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := 36; ; k += 36 {
				threshold := min(max(k-bias, 1), 26)
				if q < threshold {
					break
				}
				out.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789"[threshold+(q-threshold)%(36-threshold)])
				q = (q - threshold) / (36 - threshold)
			}
			out.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789"[q])
			if handled == basic {
				delta /= 700
			} else {
				delta /= 2
			}
			delta += delta / (handled + 1)
			k := 0
			for ; delta > 455; k += 36 {
				delta /= 35
			}
			bias = k + 36*delta/(delta+38)
			delta = 0
			handled++
		}
		delta++
		n++
	}
	return out.String()
}

func TestPunycode(t *testing.T) {
	// The samples of RFC 3492 §7.1 in lower case, and labels in use.
	for encoded, decoded := range map[string]string{
		"egbpdaj6bu4bxfgehfvwxn":                 "ليهمابتكلموشعربي؟",
		"ihqwcrb4cv8a8dqg056pqjye":               "他们为什么不说中文",
		"ihqwctvzc91f659drss3x8bo0yb":            "他們爲什麽不說中文",
		"4dbcagdahymbxekheh6e0a7fei0b":           "למההםפשוטלאמדבריםעברית",
		"n8jok5ay5dzabd5bym9f0cm5685rrjetr6pdxa": "なぜみんな日本語を話してくれないのか",
		"b1abfaaepdrnnbgefbadotcwatmq2g4l":       "почемужеонинеговорятпорусски",
		"bcher-kva":                              "bücher",
		"mnchen-3ya":                             "münchen",
		"80ak6aa92e":                             "аррӏе",
	} {
		got, ok := punyDecode(encoded, make([]rune, 0, 63))
		if !ok || string(got) != decoded {
			t.Errorf("%s is %q, %t, want %q", encoded, string(got), ok, decoded)
		}
		if again := punyEncode([]rune(decoded)); again != encoded {
			t.Errorf("the test's own encoder makes %q of %q", again, decoded)
		}
	}
}

func TestALabels(t *testing.T) {
	for name, tc := range map[string]struct {
		label string
		want  bool
	}{
		"a German word":                              {"bücher", true},
		"one script other than Latin":                {"пример", true},
		"a script beside Latin that looks like none": {"日本語-api", true},
		"Hindi with vowel signs":                     {"हिन्दी", true},
		"digits of another script":                   {"स१", true},
		"the Catalan dot":                            {"col·lec", true},
		"the katakana dot":                           {"ア・ア", true},
		"a letter beyond the first plane":            {"𐐨𐐩", true},
		"Cyrillic among Latin":                       {"аpple", false},
		"the first Latin letter among Cyrillic":      {"aа", false},
		"the last Latin letter among Cyrillic":       {"zа", false},
		"Greek among Latin":                          {"gοοgle", false},
		"Greek among Cyrillic":                       {"аο", false},
		"an upper-case letter":                       {"bÜcher", false},
		"a symbol":                                   {"i♥ny", false},
		"an emoji":                                   {"💩", false},
		"a full-width slash":                         {"a／b", false},
		"an ideographic full stop":                   {"a。b", false},
		"a soft hyphen":                              {"a\u00adb", false},
		"a joiner":                                   {"a\u200db", false},
		"a right-to-left override":                   {"a\u202eb", false},
		"a mark in front":                            {"\u0301a", false},
		"a control character":                        {"\u0080", false},
	} {
		t.Run(name, func(t *testing.T) {
			encoded := punyEncode([]rune(tc.label))
			if got := validALabel(encoded); got != tc.want {
				t.Errorf("xn--%s (%s): %t", encoded, tc.label, got)
			}
		})
	}
	for name, bad := range map[string]string{
		"a surrogate":                       punyEncode([]rune{0xd800}),
		"a code point beyond the last":      punyEncode([]rune{0x110000}),
		"nothing outside ASCII":             "abc-",
		"an empty label":                    "",
		"a delimiter alone":                 "-abc",
		"an integer that does not end":      "bcher-kv",
		"an integer larger than any":        "99999999999",
		"a hyphen within an integer":        "b-ü",
		"more than a label can hold":        strings.Repeat("a", 64),
		"an upper-case digit":               "bcher-KVA",
		"a weight larger than any, then 0s": "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzza",
	} {
		if validALabel(bad) {
			t.Errorf("%s is valid: %q", name, bad)
		}
	}
}
