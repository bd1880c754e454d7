package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// handler serves the three paths.
type handler struct {
	obstacles func() []string
	metrics   http.Handler
}

// NewHandler returns the handler. obstacles lists what keeps decisions from being made, in fixed texts; none when they can
// be made.
func NewHandler(obstacles func() []string, metrics http.Handler) (http.Handler, error) {
	if obstacles == nil || metrics == nil {
		return nil, errors.New("web: readiness and metrics are required")
	}
	return &handler{obstacles: obstacles, metrics: metrics}, nil
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		text(w, http.StatusMethodNotAllowed, "GET and HEAD only")
		return
	}
	switch r.URL.Path {
	case "/healthz":
		text(w, http.StatusOK, "ok")
	case "/readyz":
		h.ready(w, r)
	case "/metrics":
		h.metrics.ServeHTTP(w, r)
	default:
		text(w, http.StatusNotFound, "there are /healthz, /readyz and /metrics")
	}
}

// ready says whether decisions can be made, as text or, for who accepts it, as JSON.
func (h *handler) ready(w http.ResponseWriter, r *http.Request) {
	obstacles := h.obstacles()
	code := http.StatusOK
	if len(obstacles) > 0 {
		code = http.StatusServiceUnavailable
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		answer := struct {
			Ready     bool     `json:"ready"`
			Obstacles []string `json:"obstacles"`
		}{len(obstacles) == 0, append([]string{}, obstacles...)}
		_ = json.NewEncoder(w).Encode(answer) // the client is gone when it fails
		return
	}
	if len(obstacles) == 0 {
		text(w, code, "ready")
		return
	}
	text(w, code, "not ready: "+strings.Join(obstacles, "\nnot ready: "))
}

func text(w http.ResponseWriter, code int, line string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(line + "\n")) // the client is gone when it fails
}
