package doctor_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/doctor"
)

var update = flag.Bool("update", false, "rewrite the outputs in docs/doctor.md")

const guide = "../../docs/doctor.md"

var shown = regexp.MustCompile("(?s)<!-- output: (\\w+) -->\n```(\\w+)\n(.*?)```\n")

// outputs are the examples of the guide, as the doctor prints them.
func outputs(t *testing.T) map[string]string {
	t.Helper()
	printed := func(r doctor.Report) string {
		var b bytes.Buffer
		if err := r.Print(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	behindProxy := newWorld()
	behindProxy.docs[discoveryPath] = answer("<html>Sign in to the proxy</html>")
	behindProxy.off = -20 * time.Minute
	v1Token := examine(t, newWorld().config(), forge(v1))
	one, err := json.MarshalIndent(step(t, v1Token, "audience"), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"v1":    printed(v1Token),
		"idtyp": printed(examine(t, newWorld().config(), forge(del("idtyp"), del("groups"), set("_claim_names", object{"groups": "src1"})))),
		"proxy": printed(examine(t, behindProxy.config())),
		"json":  string(one) + "\n",
	}
}

// The guide shows what the doctor says. Run with -update after a change of words.
func TestTheGuideShowsWhatTheDoctorSays(t *testing.T) {
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	want := outputs(t)
	next := shown.ReplaceAllStringFunc(string(page), func(block string) string {
		m := shown.FindStringSubmatch(block)
		text, ok := want[m[1]]
		if !ok {
			t.Errorf("the guide shows an output %s that nothing makes", m[1])
		}
		delete(want, m[1])
		return "<!-- output: " + m[1] + " -->\n```" + m[2] + "\n" + text + "```\n"
	})
	for name := range want {
		t.Errorf("the guide does not show the output %s", name)
	}
	if next == string(page) {
		return
	}
	if *update {
		if err := os.WriteFile(guide, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the guide shows something else than the doctor says; run the test with -update and read the difference")
}

// The guide names every step, and every step that it names is there.
func TestTheGuideNamesEveryStep(t *testing.T) {
	page, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Steps")
	named := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z`, -]+) \\|").FindAllStringSubmatch(table, -1) {
		for _, name := range regexp.MustCompile("[a-z-]+").FindAllString(row[1], -1) {
			named[name] = true
		}
	}
	for _, s := range examine(t, newWorld().config(), forge()).Steps {
		if !named[s.Name] {
			t.Errorf("the guide does not name the step %s", s.Name)
		}
		delete(named, s.Name)
	}
	for name := range named {
		t.Errorf("the guide names a step %s that is not there", name)
	}
}
