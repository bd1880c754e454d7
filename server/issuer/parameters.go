package issuer

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const maxBody = 256 << 10 // bytes; room for a few thousand groups

// serveMint answers GET and POST /mint: the token as a line of text, or JSON for who accepts that.
func (i *Issuer) serveMint(w http.ResponseWriter, r *http.Request) {
	values, err := parameters(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	request, err := i.requestOf(values)
	if err != nil {
		fail(w, err)
		return
	}
	made, err := i.mint(request)
	if err != nil {
		fail(w, err)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		lifetime := request.Lifetime
		if lifetime == 0 {
			lifetime = DefaultLifetime
		}
		writeJSON(w, http.StatusOK, map[string]any{
			"access_token": made.compact, "token_type": "Bearer", "expires_in": int(lifetime.Seconds()),
			"kid": made.kid, "claims": made.claims,
		})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, made.compact+"\n")
}

// parameters are those of query and body, a form or a JSON object with the same names. A JSON array is several values,
// an object its own text.
func parameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse("the query cannot be read")
	}
	if r.Method != http.MethodPost {
		return values, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, refuse("the body is larger than %d bytes or cannot be read", maxBody)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case len(body) == 0:
	case kind == "application/json":
		return values, addJSON(values, body)
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, refuse("the form cannot be read")
		}
		for name, list := range form {
			values[name] = append(values[name], list...)
		}
	default:
		return nil, refuse("the body is a form or JSON; say which in Content-Type")
	}
	return values, nil
}

func addJSON(values url.Values, body []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return refuse("the body is not a JSON object")
	}
	for name, raw := range members {
		var text string
		var list []string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &text) == nil:
			values.Add(name, text)
		case json.Unmarshal(raw, &list) == nil:
			values[name] = append(values[name], append(list, "")...) // "": an empty list is there, and empty
		default:
			values.Add(name, string(raw))
		}
	}
	return nil
}

// form reads parameters and keeps the first thing that is wrong with them.
type form struct {
	values url.Values
	read   []string
	err    error
}

func (f *form) one(name string) string {
	f.read = append(f.read, name)
	list := f.values[name]
	if len(list) > 1 && f.err == nil {
		f.err = refuse("%s is there more than once", name)
	}
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// list is nil when the parameter is absent, and empty when it is there without values.
func (f *form) list(name string) []string {
	f.read = append(f.read, name)
	values, ok := f.values[name]
	if !ok {
		return nil
	}
	split := []string{}
	for _, v := range values {
		split = append(split, strings.FieldsFunc(v, func(c rune) bool { return c == ' ' || c == ',' })...)
	}
	return split
}

// duration is as Go writes it, or a number of seconds.
func (f *form) duration(name string) (time.Duration, bool) {
	text := f.one(name)
	if text == "" {
		return 0, false
	}
	if seconds, err := strconv.ParseInt(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	d, err := time.ParseDuration(text)
	if err != nil && f.err == nil {
		f.err = refuse("%s is a duration such as 5m, 90s or -1h", name)
	}
	return d, true
}

// claims are JSON; numbers stay as they are written.
func (f *form) claims(name string) map[string]any {
	text := f.one(name)
	if text == "" {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var claims map[string]any
	err := decoder.Decode(&claims)
	if _, end := decoder.Token(); (err != nil || !errors.Is(end, io.EOF)) && f.err == nil {
		f.err = refuse(`%s is a JSON object such as {"acct":1}`, name)
	}
	return claims
}

func (i *Issuer) requestOf(values url.Values) (Request, error) {
	f := &form{values: values}
	r := Request{
		Tenant: f.one("tenant"), Audience: f.one("audience"), Version: f.one("version"), Overage: Overage(f.one("overage")),
		Scopes: f.list("scope"), Roles: f.list("roles"), Groups: f.list("groups"), WIDs: f.list("wids"), ACRs: f.list("acrs"),
		Capabilities: f.list("xms_cc"), Claims: f.claims("claims"),
	}
	if d, ok := f.duration("lifetime"); ok {
		if d == 0 && f.err == nil {
			f.err = refuse("a lifetime is not zero; a negative one makes an expired token")
		}
		r.Lifetime = d
	}
	if d, ok := f.duration("auth_age"); ok {
		r.AuthAge = &d
	}
	user, app := f.one("user"), f.one("app")
	for name := range values {
		if !slices.Contains(f.read, name) && f.err == nil {
			f.err = refuse("there is no parameter %s; there are %s", strconv.QuoteToASCII(name), strings.Join(f.read, ", "))
		}
	}
	if f.err != nil {
		return Request{}, f.err
	}
	var err error
	r.Persona, err = i.personaOf(user, app)
	return r, err
}

// personaOf checks that a user is asked for as user and an app as app.
func (i *Issuer) personaOf(user, app string) (string, error) {
	if (user == "") == (app == "") {
		return "", refuse("say for whom, ?user= or ?app=; GET / lists them")
	}
	name, kind := user, User
	if app != "" {
		name, kind = app, App
	}
	for _, p := range i.personas {
		if p.Name == name && p.Kind == kind {
			return name, nil
		}
	}
	return "", refuse("there is no %s of that name; there are %s", kind, strings.Join(i.namesOf(kind), ", "))
}

func (i *Issuer) namesOf(kind Kind) []string {
	var list []string
	for _, p := range i.personas {
		if p.Kind == kind {
			list = append(list, p.Name)
		}
	}
	return list
}
