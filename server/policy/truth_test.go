package policy_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/verdict-authz/verdict/server/policy"
)

// The truth tables in testdata say for people what is allowed and why; testdata/reading.txtar says how to read them.
func TestTruthTables(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d truth tables, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(strings.TrimSpace(string(archive.Comment))) < 40 {
				t.Error("the table does not say what it is about")
			}
			sections := map[string]string{}
			refusals := 0
			for _, f := range archive.Files {
				if what, ok := strings.CutPrefix(f.Name, "refused: "); ok {
					refusals++
					t.Run(what, func(t *testing.T) { checkRefused(t, string(f.Data)) })
					continue
				}
				sections[f.Name] = string(f.Data)
			}
			if refusals == 0 {
				checkTable(t, sections)
			}
		})
	}
}

// checkTable asks the questions of a table.
func checkTable(t *testing.T, sections map[string]string) {
	t.Helper()
	facts, err := readPolicy(sections["policy"])
	if err != nil {
		t.Fatal(err)
	}
	callers, err := readCallers(sections["callers"])
	if err != nil {
		t.Fatal(err)
	}
	e := compiled(t, facts)
	at, asked := now, 0
	for _, line := range tableLines(sections["questions"]) {
		if when, ok := strings.CutPrefix(line, "at "); ok {
			if at, err = time.Parse(time.RFC3339Nano, strings.TrimSpace(when)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		asked++
		ask, want, ok := strings.Cut(line, "->")
		if !ok {
			t.Fatalf("%s: no answer", line)
		}
		q, err := readQuestion(ask, callers, facts.APIs[0].ID)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		q.at = at
		got := say(e, q, strings.Contains(want, " on "))
		if want := strings.Join(strings.Fields(want), " "); got != want {
			t.Errorf("%s %s\n is answered: %s\n  should be: %s", at.Format(time.RFC3339Nano), strings.TrimSpace(ask), got, want)
		}
	}
	if asked < 3 {
		t.Errorf("%d questions are no table", asked)
	}
}

// say is the answer as tables write it; withRoute: and the route it was found on.
func say(e *engine, q question, withRoute bool) string {
	out, route, params, found := e.ask(q, nil)
	if !found {
		return "no route"
	}
	text := out.Effect.String() + " " + out.Reason.String()
	if len(out.Grants) > 0 {
		text += " by " + strings.Join(out.Grants, " ")
	}
	if len(out.Missing) > 0 {
		text += " missing " + strings.Join(out.Missing, " ")
	}
	if !out.Until.IsZero() {
		text += " until " + out.Until.UTC().Format(time.RFC3339Nano)
	}
	if out.Volatile {
		text += " this time"
	}
	if withRoute {
		text += " on " + route.ID
		for _, p := range params {
			text += " " + p.name + "=" + p.value
		}
	}
	return text
}

// readQuestion reads "anna GET /orders" or "anna may orders.read", with "of billing" behind it when it is not the first api.
func readQuestion(text string, callers map[string]policy.Principal, api string) (question, error) {
	words := strings.Fields(text)
	if len(words) == 5 && words[3] == "of" {
		api, words = words[4], words[:3]
	}
	if len(words) != 3 {
		return question{}, fmt.Errorf("%d words", len(words))
	}
	p, known := callers[words[0]]
	if !known && words[0] != "nobody" {
		return question{}, fmt.Errorf("who is %s", words[0])
	}
	q := question{api: api, principal: p, nobody: !known, method: words[1], path: words[2]}
	if words[1] == "may" {
		q.method, q.path, q.permission = "", "", words[2]
	}
	if q.permission == "" && !slices.Contains(methods, q.method) {
		return question{}, fmt.Errorf("no method: %s", q.method)
	}
	return q, nil
}

// checkRefused compiles a policy that ends in lines such as "refused grant/g-1 subject", and asks that exactly those
// problems are reported; what follows "saying" must be in the text of the problem.
func checkRefused(t *testing.T, section string) {
	t.Helper()
	var want, rest []string
	for _, line := range tableLines(section) {
		if problem, ok := strings.CutPrefix(line, "refused "); ok {
			want = append(want, strings.Join(strings.Fields(problem), " "))
			continue
		}
		rest = append(rest, line)
	}
	facts, err := readPolicy(strings.Join(rest, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(want) == 0 {
		t.Fatal("nothing is said to be refused")
	}
	_, err = policy.Compile(facts, new(conditions).compile)
	problems := problemsOf(err)
	if len(problems) != len(want) {
		t.Errorf("%d problems, should be %d: %v", len(problems), len(want), err)
	}
	for _, w := range want {
		where, says, _ := strings.Cut(w, " saying ")
		if !slices.ContainsFunc(problems, func(p policy.Problem) bool {
			return strings.TrimSpace(p.Fact+" "+p.Field) == where && strings.Contains(p.Text, says)
		}) {
			t.Errorf("not reported: %s\n     but: %v", w, err)
		}
	}
}

// tableLines are the lines of a section without comments and blank ones.
func tableLines(section string) []string {
	var lines []string
	for line := range strings.Lines(section) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}
