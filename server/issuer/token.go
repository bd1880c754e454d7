package issuer

import (
	"net/http"
	"slices"
	"strings"
)

// token is the token endpoint: client credentials of the app personas. Any secret will do; there has to be one, so that
// a client that forgets it finds out here.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "the body is not a form")
		return
	}
	tid := r.PathValue("tid")
	if !slices.Contains(i.tenants, tid) {
		oauthError(w, http.StatusBadRequest, "invalid_request", "that tenant is not one of this issuer")
		return
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "only client_credentials; /mint has tokens of users")
		return
	}
	p, ok := i.clientOf(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="verdict dev issuer"`)
		oauthError(w, http.StatusUnauthorized, "invalid_client", "the client_id is none of the app personas, or there is no client_secret")
		return
	}
	resource, ok := strings.CutSuffix(r.PostForm.Get("scope"), "/.default")
	resource = strings.TrimPrefix(resource, "api://")
	if !ok || resource == "" || strings.Contains(resource, " ") {
		oauthError(w, http.StatusBadRequest, "invalid_scope", "the scope is the one resource asked for and /.default, such as api://"+p.Audience+"/.default")
		return
	}
	made, err := i.mint(Request{Persona: p.Name, Tenant: tid, Audience: resource})
	if err != nil {
		oauthError(w, http.StatusInternalServerError, "server_error", err.Error())
		return
	}
	seconds := int(DefaultLifetime.Seconds())
	writeJSON(w, http.StatusOK, map[string]any{
		"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": made.compact,
	})
}

// clientOf finds the persona that authenticates, by form or by Basic.
func (i *Issuer) clientOf(r *http.Request) (Persona, bool) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		id, secret = user, password
	}
	if secret == "" {
		return Persona{}, false
	}
	at := slices.IndexFunc(i.personas, func(p Persona) bool { return p.Kind == App && p.ClientID == id })
	if at < 0 {
		return Persona{}, false
	}
	return i.personas[at], true
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]any{"error": code, "error_description": description})
}
