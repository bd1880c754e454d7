package request

// EscapeRaw returns s as printable ASCII of at most limit bytes, for records and people: bytes that are not printable become
// \xNN, a backslash becomes \\, and an escape is never cut. It is s itself when nothing has to change.
func EscapeRaw(s string, limit int) string {
	clean := 0
	for clean < len(s) && clean < limit && s[clean] != '\\' && !isControl(s[clean]) && s[clean] < 0x80 {
		clean++
	}
	if clean == len(s) || clean >= limit {
		return s[:clean]
	}
	const digits = "0123456789abcdef"
	out := append(make([]byte, 0, min(limit, clean+4*(len(s)-clean))), s[:clean]...)
	for i := clean; i < len(s); i++ {
		b := s[i]
		switch {
		case b == '\\':
			if len(out)+2 > limit {
				return string(out)
			}
			out = append(out, '\\', '\\')
		case isControl(b) || b >= 0x80:
			if len(out)+4 > limit {
				return string(out)
			}
			out = append(out, '\\', 'x', digits[b>>4], digits[b&15])
		default:
			if len(out)+1 > limit {
				return string(out)
			}
			out = append(out, b)
		}
	}
	return string(out)
}
