package policy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The mux of net/http prefers what is more specific, verdict goes segment by segment from the left. The mux refuses
// templates that overlap without one being more specific; in the sets it takes, both must choose the same route.
func TestMatchAgreesWithServeMux(t *testing.T) {
	const sets = 400
	rng := rand.New(rand.NewPCG(20, 26))
	asked, found := 0, 0
	for range sets {
		routes := map[string]bool{} // "METHOD template"
		mux := http.NewServeMux()
		for range 25 {
			template := randomTemplate(rng)
			method := [...]string{"GET", "POST", "DELETE"}[rng.IntN(3)]
			if register(mux, method, template) {
				routes[method+" "+template] = true
			}
		}
		var list []string
		for r := range routes {
			list = append(list, r)
		}
		api := apiOfTemplates(t, list...)
		for range 200 {
			path := randomPath(rng)
			method := [...]string{"GET", "POST", "DELETE"}[rng.IntN(3)]
			want, comparable := askMux(mux, method, path)
			if !comparable {
				continue
			}
			got := matchText(api, method+" "+path)
			if got != want {
				t.Fatalf("%s %s: %s, the mux says %s, of\n%s", method, path, got, want, strings.Join(list, "\n"))
			}
			asked++
			if want != "none" {
				found++
			}
		}
	}
	if asked < sets*150 || found < asked/5 {
		t.Fatalf("%d questions of which %d have a route are too few", asked, found)
	}
	t.Logf("%d questions, %d with a route", asked, found)
}

// randomTemplate names parameters by place, so that equal shapes are equal texts.
func randomTemplate(rng *rand.Rand) string {
	var b strings.Builder
	n := rng.IntN(5)
	for i := range n {
		switch k := rng.IntN(8); {
		case k < 5:
			fmt.Fprintf(&b, "/%c", 'a'+rune(rng.IntN(3)))
		case k < 7 || i < n-1:
			fmt.Fprintf(&b, "/{p%d}", i)
		default:
			fmt.Fprintf(&b, "/{p%d...}", i)
			return b.String()
		}
	}
	if n == 0 || rng.IntN(5) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

func randomPath(rng *rand.Rand) string {
	var b strings.Builder
	n := rng.IntN(6)
	for range n {
		fmt.Fprintf(&b, "/%c", 'a'+rune(rng.IntN(4)))
	}
	if n == 0 || rng.IntN(5) == 0 {
		b.WriteByte('/')
	}
	return b.String()
}

// register gives a template to the mux unless it conflicts with one that is there. To the mux, a slash at the end means
// everything below unless {$} follows.
func register(mux *http.ServeMux, method, template string) (ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	pattern := template
	if strings.HasSuffix(template, "/") {
		pattern += "{$}"
	}
	mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) {
		text := template
		for i := range maxParams {
			if v := r.PathValue(fmt.Sprintf("p%d", i)); v != "" {
				text += fmt.Sprintf(" p%d=%s", i, v)
			}
		}
		w.Header().Set("Route", text)
	})
	return true
}

// askMux also says whether the mux means the same by this question: it redirects to a slash at the end, and its tails match
// a path that ends in one.
func askMux(mux *http.ServeMux, method, path string) (text string, comparable bool) {
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	text = w.Header().Get("Route")
	switch {
	case w.Code >= 300 && w.Code < 400:
		return "", false
	case text == "":
		return "none", true
	default:
		return text, !strings.Contains(text, "...") || !strings.HasSuffix(path, "/")
	}
}
