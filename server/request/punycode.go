package request

import (
	"strings"
	"unicode"
)

// Parameters of RFC 3492 §5.
const (
	punyBase        = 36
	punyTMin        = 1
	punyTMax        = 26
	punySkew        = 38
	punyDamp        = 700
	punyInitialBias = 72
	punyInitialN    = 0x80
)

// validALabel judges what follows "xn--", in lower case. It must decode (RFC 3492) to at least one code point outside
// ASCII, all of them lower-case letters, marks and digits or the joining dots of Catalan and Japanese, no mark first, and
// not Latin, Greek and Cyrillic mixed. That is narrower than RFC 5892 in what it lacks, tables of joiners, and wider in
// that it does not normalise: a label that slips through is one more name that no policy lists. Decoding is injective, so
// two spellings never name one host.
func validALabel(s string) bool {
	var buf [63]rune
	label, ok := punyDecode(s, buf[:0])
	if !ok || unicode.Is(unicode.M, label[0]) {
		return false
	}
	var scripts [3]bool
	for _, r := range label {
		if r < 0x80 { // already letter, digit or hyphen
			scripts[0] = scripts[0] || 'a' <= r && r <= 'z'
			continue
		}
		if !idnRune(r) {
			return false
		}
		for i, script := range []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic} {
			scripts[i] = scripts[i] || unicode.Is(script, r)
		}
	}
	return !(scripts[0] && scripts[1] || scripts[0] && scripts[2] || scripts[1] && scripts[2])
}

func idnRune(r rune) bool {
	switch r {
	case 0x00b7, 0x3007, 0x30fb: // middle dot, ideographic zero, katakana middle dot
		return true
	}
	return unicode.In(r, unicode.L, unicode.Mn, unicode.Mc, unicode.Nd) && unicode.ToLower(r) == r
}

// punyDecode appends the decoded label to out, which has room for 63 and so never grows: each code point costs at least
// one byte of s. False also when nothing outside ASCII comes of it.
func punyDecode(s string, out []rune) ([]rune, bool) {
	if len(s) > cap(out) {
		return nil, false
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		if i == 0 { // a delimiter with nothing to delimit
			return nil, false
		}
		for _, r := range s[:i] {
			out = append(out, r)
		}
		s = s[i+1:]
	}
	if s == "" {
		return nil, false
	}
	n, at, bias := punyInitialN, 0, punyInitialBias
	for first := true; s != ""; first = false {
		delta, rest, ok := punyInteger(s, bias)
		if !ok {
			return nil, false
		}
		s = rest
		at += delta
		size := len(out) + 1
		bias = punyAdapt(delta, size, first)
		n += at / size
		at %= size
		if n > unicode.MaxRune || 0xd800 <= n && n <= 0xdfff {
			return nil, false
		}
		out = append(out, 0)
		copy(out[at+1:], out[at:])
		out[at] = rune(n) //nolint:gosec // at most MaxRune, checked above
		at++
	}
	return out, true
}

// punyInteger reads one generalised variable-length integer (RFC 3492 §3.3). Its limit is above what the largest code
// point in the longest label needs and low enough that no sum of the caller overflows.
func punyInteger(s string, bias int) (v int, rest string, ok bool) {
	const limit = 1 << 28
	var sum, weight int64 = 0, 1 // weight passes the limit only once: the digit after it is 0 or too much
	for k := punyBase; s != ""; k += punyBase {
		digit, ok := punyDigit(s[0])
		s = s[1:]
		if !ok {
			return 0, "", false
		}
		if sum += int64(digit) * weight; sum > limit {
			return 0, "", false
		}
		t := min(max(k-bias, punyTMin), punyTMax)
		if digit < t {
			return int(sum), s, true
		}
		weight *= int64(punyBase - t)
	}
	return 0, "", false
}

func punyDigit(b byte) (int, bool) {
	switch {
	case 'a' <= b && b <= 'z':
		return int(b - 'a'), true
	case '0' <= b && b <= '9':
		return int(b-'0') + 26, true
	}
	return 0, false
}

func punyAdapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}
