package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var update = flag.Bool("update", false, "rewrite the tables in docs/settings.md")

const settingsPage = root + "/docs/settings.md"

// morePages are those that say more about a group of settings than a table can.
var morePages = map[string]string{
	"Store": "[store.md](store.md)", "Listeners": "[pep.md](pep.md), [metrics.md](metrics.md)",
	"Issuers of tokens": "[tokens.md](tokens.md), [providers.md](providers.md)", "Groups of callers": "[groups.md](groups.md), [groups-mirror.md](groups-mirror.md)",
	"Who may ask": "[pep.md](pep.md)", "Decisions and their records": "[audit.md](audit.md), [spool.md](spool.md), [revocation.md](revocation.md), [permitted-routes.md](permitted-routes.md)",
	"Privacy and proof": "[audit.md](audit.md#privacy), [audit-proof.md](audit-proof.md)", "Export of records": "[audit-export.md](audit-export.md)",
	"Credentials of AWS": "[aws-credentials.md](aws-credentials.md)",
}

// The tables of the page are those of --help. Rewrite them with -update after a change of a flag.
func TestThePageOfSettingsIsThatOfTheFlags(t *testing.T) {
	page, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(page), "\n## ")
	want := head + settingTables(t)
	if *update {
		if err := os.WriteFile(settingsPage, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if string(page) != want {
		t.Error("docs/settings.md is not what the flags say; run this test with -update")
	}
}

// settingTables are the settings of serve, a table a group, in the order of --help.
func settingTables(t *testing.T) string {
	t.Helper()
	var groups []string
	rows := map[string]string{}
	for _, f := range orderedFlags(t, "serve") {
		if f.Group == nil {
			continue // of all commands
		}
		title := f.Group.Title
		if _, ok := rows[title]; !ok {
			groups = append(groups, title)
		}
		value := ""
		switch {
		case f.HasDefault && f.Default != "":
			value = "`" + f.Default + "`"
		case f.IsBool():
			value = "off"
		}
		sign := "--" + f.Name
		if !f.IsBool() && f.PlaceHolder != "" {
			sign += " " + f.PlaceHolder
		}
		rows[title] += fmt.Sprintf("| `%s` | %s | %s |\n", sign, value, strings.ReplaceAll(f.Help, "|", `\|`))
	}
	var text strings.Builder
	for _, title := range groups {
		more, ok := morePages[title]
		if !ok {
			t.Fatalf("no page for the settings of %q", title)
		}
		fmt.Fprintf(&text, "\n## %s\n\nMore in %s.\n\n| flag | default | |\n|---|---|---|\n%s", title, more, rows[title])
	}
	return text.String()
}

// orderedFlags are the flags of a command and of those above it.
func orderedFlags(t *testing.T, command string) (all []*kong.Flag) {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("verdict"), kong.DefaultEnvars(prefix))
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		if leaf.FullPath() == "verdict "+command {
			for _, group := range leaf.AllFlags(false) {
				all = append(all, group...)
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("verdict %s has no flags", command)
	}
	return all
}

// A placeholder takes the place of the default in --help, so its text has to say it.
func TestHelpSaysEveryDefault(t *testing.T) {
	byCommand, _ := flagsOf(t)
	for command, flags := range byCommand {
		for name, f := range flags {
			if f.HasDefault && f.Default != "" && f.PlaceHolder != "" && !strings.Contains(f.Help, f.Default) {
				t.Errorf("verdict %s --%s: neither its placeholder nor its text tell the default %q", command, name, f.Default)
			}
		}
	}
}

// A hundred settings in one list are read by nobody.
func TestEverySettingOfServeIsInAGroup(t *testing.T) {
	for _, f := range orderedFlags(t, "serve") {
		if f.Group == nil && f.Name != "help" && f.Name != "log-level" {
			t.Errorf("--%s is in no group", f.Name)
		}
	}
}
