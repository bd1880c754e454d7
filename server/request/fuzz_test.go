package request

import (
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// What follows says once more what canonical is, slowly and from the documents rather than from the code.
var (
	naivePath     = regexp.MustCompile(`^(/([A-Za-z0-9\-._~!$&'()*+,:=@]|%(20|22|3C|3E|5B|5D|5E|60|7B|7C|7D|21|24|26|27|28|29|2A|2B|2C|3A|3D|40))+)*/?$`)
	naiveReserved = regexp.MustCompile(`%(21|24|26|27|28|29|2A|2B|2C|3A|3D|40)`)
	// Of a decoded path the same characters, as they are.
	naiveDecoded = regexp.MustCompile("^(/[A-Za-z0-9\\-._~!$&'()*+,:=@ \"<>\\[\\]^`{|}]+)*/?$")
	naiveQuery   = regexp.MustCompile(`^[!-"$-~]*$`)
	naiveLabel   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	naiveNumber  = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)
	naiveName    = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9A-Za-z]+$")
	naiveUpgrade = regexp.MustCompile("^[!#$%&'*+\\-.^_`|~0-9a-z]*$")
	naiveID      = regexp.MustCompile(`^[ -~]{0,128}$`)
	naiveGuarded = regexp.MustCompile(`^(authorization|host|x-verdict-.*|x-auth-request-.*|remote-user|x-http-method(-override)?|` +
		`x-method-override|x-(original|rewrite)-url|x-original-uri|x-envoy-original-path|x-forwarded-(user|email|groups|` +
		`preferred-username|access-token))$`)
)

func FuzzCanonicalise(f *testing.F) {
	for _, r := range readCatalogue(f) {
		for _, l := range r.lines {
			if l.about == "request" {
				f.Add(l.raw.Method, l.raw.Host, l.raw.Target, l.raw.Decoded, joinHeaders(l.raw.Headers))
			}
		}
	}
	f.Fuzz(func(t *testing.T, method, host, target string, decoded bool, headers string) {
		raw := Raw{Method: method, Host: host, Target: target, Decoded: decoded, Headers: splitHeaders(headers)}
		c := Canonical{Query: "left over"}
		if fault := Canonicalise(&raw, &c); fault != faultNone {
			if c != (Canonical{}) {
				t.Errorf("%q leaves %+v", fault, c)
			}
			if fault.String() == "" || int(fault) >= len(faultTexts) {
				t.Errorf("fault %d has no text", fault)
			}
			return
		}
		checkNaively(t, &raw, &c)
		checkReadings(t, &c, decoded)

		again := asRaw(&c, decoded)
		var c2 Canonical
		if fault := Canonicalise(&again, &c2); fault != faultNone || c2 != c {
			t.Errorf("not its own canonical form: %q\nfirst  %+v\nsecond %+v", fault, c, c2)
		}
	})
}

// checkNaively compares an accepted request with the grammar above.
func checkNaively(t *testing.T, raw *Raw, c *Canonical) {
	t.Helper()
	grammar := naivePath
	if raw.Decoded {
		grammar = naiveDecoded
	}
	if c.Path == "" || !grammar.MatchString(c.Path) {
		t.Errorf("path %q", c.Path)
	}
	other := ""
	if !raw.Decoded && naiveReserved.MatchString(c.Path) {
		other = naiveReserved.ReplaceAllStringFunc(c.Path, func(escape string) string { return must(url.PathUnescape(escape)) })
	}
	if c.OtherPath != other {
		t.Errorf("other path %q of %q, want %q", c.OtherPath, c.Path, other)
	}
	for _, segment := range strings.Split(strings.Trim(c.Path, "/"), "/") {
		plain := strings.ReplaceAll(segment, "%20", " ")
		if plain == "." || plain == ".." || strings.TrimSpace(plain) != plain {
			t.Errorf("segment %q of %q", segment, c.Path)
		}
	}
	if c.TrailingSlash != (c.Path != "/" && strings.HasSuffix(c.Path, "/")) {
		t.Errorf("trailing slash %t of %q", c.TrailingSlash, c.Path)
	}
	if len(c.Path) > 8192 || strings.Count(c.Path, "/") > 1025 || len(c.Query) > 16384 {
		t.Errorf("too much: %d, %d", len(c.Path), len(c.Query))
	}
	if !naiveQuery.MatchString(c.Query) || naiveToken(c.Query) != c.HasQueryToken {
		t.Errorf("query %q, token %t", c.Query, c.HasQueryToken)
	}
	if c.Host != "" {
		checkHostNaively(t, c.Host)
	}
	if c.Method.String() != raw.Method || c.Method == CONNECT || c.Override == CONNECT {
		t.Errorf("method %s, override %s", c.Method, c.Override)
	}
	if !naiveUpgrade.MatchString(c.Upgrade) || !naiveID.MatchString(c.RequestID) || strings.Contains(c.Authorization, ",") {
		t.Errorf("upgrade %q, request id %q, authorization %q", c.Upgrade, c.RequestID, c.Authorization)
	}
	authorizations := 0
	for _, h := range raw.Headers {
		name := strings.ToLower(h.Name)
		hyphened := strings.ReplaceAll(name, "_", "-")
		switch {
		case strings.HasPrefix(name, ":"):
		case !naiveName.MatchString(name),
			name != hyphened && naiveGuarded.MatchString(hyphened),
			strings.HasPrefix(name, "x-verdict-"),
			strings.HasPrefix(name, "x-original-ur"):
			t.Errorf("header %q passed", h.Name)
		case name == "authorization":
			authorizations++
		case name == "connection":
			for _, option := range strings.Split(strings.ToLower(h.Value), ",") {
				if naiveGuarded.MatchString(strings.ReplaceAll(strings.TrimSpace(option), "_", "-")) {
					t.Errorf("connection %q passed", h.Value)
				}
			}
		}
		if strings.ContainsAny(h.Value, "\x00\r\n\x7f\u0085") || !utf8.ValidString(h.Value) {
			t.Errorf("value %q passed", h.Value)
		}
	}
	if authorizations > 1 {
		t.Errorf("%d authorizations passed", authorizations)
	}
}

// naiveToken says whether a parameter is named access_token once its escapes are resolved.
func naiveToken(query string) bool {
	for _, parameter := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, _, _ := strings.Cut(parameter, "=")
		if plain, err := url.PathUnescape(name); err == nil && len(plain) == len("access_token") && strings.EqualFold(plain, "access_token") {
			return true
		}
	}
	return false
}

// checkReadings reads the path as backends do, each in its way: decoded, decoded twice, dots resolved, slashes merged,
// parameters stripped, backslashes turned, blanks trimmed. All must agree on how many segments there are and what is in
// each.
func checkReadings(t *testing.T, c *Canonical, decoded bool) {
	t.Helper()
	meaning := c.Path
	if !decoded {
		var err error
		if meaning, err = url.PathUnescape(c.Path); err != nil {
			t.Fatalf("path %q: %v", c.Path, err)
		}
	}
	if strings.Count(meaning, "/") != strings.Count(c.Path, "/") {
		t.Errorf("%q decodes to other segments: %q", c.Path, meaning)
	}
	for name, reading := range map[string]string{
		"decoded twice":      must(url.PathUnescape(meaning)),
		"dots resolved":      withSlash(path.Clean(meaning), c.TrailingSlash),
		"parameters dropped": regexp.MustCompile(`;[^/]*`).ReplaceAllString(meaning, ""),
		"backslashes turned": strings.ReplaceAll(meaning, `\`, "/"),
		"cut at a fragment":  strings.SplitN(meaning, "#", 2)[0],
		"cut at a query":     strings.SplitN(meaning, "?", 2)[0],
		"cut at a NUL":       strings.SplitN(meaning, "\x00", 2)[0],
		"blanks trimmed":     strings.TrimSpace(meaning),
		"as UTF-8":           strings.ToValidUTF8(meaning, "?"),
	} {
		if reading != meaning {
			t.Errorf("%s: %q is %q, not %q", name, c.Path, reading, meaning)
		}
	}
}

func must(s string, err error) string {
	if err != nil {
		return err.Error()
	}
	return s
}

func withSlash(s string, slash bool) string {
	if slash {
		return s + "/"
	}
	return s
}

func FuzzHost(f *testing.F) {
	for _, r := range readCatalogue(f) {
		for _, l := range r.lines {
			f.Add(l.in)
			f.Add(l.raw.Host)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, ok := CanonicalHost(s)
		if !ok {
			if host != "" {
				t.Errorf("%q refused but %q", s, host)
			}
			return
		}
		checkHostNaively(t, host)
		if again, ok := CanonicalHost(host); !ok || again != host {
			t.Errorf("%q -> %q -> %q, %t", s, host, again, ok)
		}
		if upper, ok := CanonicalHost(strings.ToUpper(s)); !ok || upper != host {
			t.Errorf("upper case of %q is %q, %t", s, upper, ok)
		}
	})
}

func checkHostNaively(t *testing.T, host string) {
	t.Helper()
	name, port, found := strings.Cut(host, ":")
	if found && (port == "80" || port == "443" || !regexp.MustCompile(`^[1-9][0-9]{0,4}$`).MatchString(port) || len(port) == 5 && port > "65535") {
		t.Errorf("port of %q", host)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if len(label) > 63 || !naiveLabel.MatchString(label) {
			t.Errorf("label %q of %q", label, host)
		}
		if rest, is := strings.CutPrefix(label, "xn--"); is {
			decoded, ok := punyDecode(rest, make([]rune, 0, 63))
			if !ok || punyEncode(decoded) != rest {
				t.Errorf("label %q decodes to %q, which encodes to %q", label, string(decoded), punyEncode(decoded))
			}
		}
	}
	if len(name) > 253 || naiveNumber.MatchString(labels[len(labels)-1]) {
		t.Errorf("host %q", host)
	}
	if _, err := netip.ParseAddr(name); err == nil {
		t.Errorf("host %q is an address", host)
	}
	if HostName(host) != name {
		t.Errorf("HostName(%q) = %q", host, HostName(host))
	}
}

// asRaw writes the canonical form as a request.
func asRaw(c *Canonical, decoded bool) Raw {
	raw := Raw{Method: c.Method.String(), Host: c.Host, Target: c.Path, Decoded: decoded}
	if c.Query != "" {
		raw.Target += "?" + c.Query
	}
	add := func(name, value string) { raw.Headers = append(raw.Headers, Header{name, value}) }
	if c.Override != 0 {
		add("x-http-method-override", c.Override.String())
	}
	if c.Upgrade != "" {
		add("connection", "upgrade")
		add("upgrade", c.Upgrade)
	}
	add("authorization", c.Authorization)
	add("x-request-id", c.RequestID)
	return raw
}

func joinHeaders(headers []Header) string {
	var all []string
	for _, h := range headers {
		all = append(all, h.Name+"\x1f"+h.Value)
	}
	return strings.Join(all, "\x1e")
}

func splitHeaders(s string) (headers []Header) {
	for field := range strings.SplitSeq(s, "\x1e") {
		if name, value, found := strings.Cut(field, "\x1f"); found {
			headers = append(headers, Header{name, value})
		}
	}
	return headers
}
