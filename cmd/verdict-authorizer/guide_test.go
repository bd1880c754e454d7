package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// settingRow is a row of the guide's table: names, default, what it is about.
var settingRow = regexp.MustCompile("(?m)^\\| ((?:`VERDICT_[A-Z_]+`(?:, )?)+) \\| ([^|]+) \\|")

// settingRead is where config.go reads a setting.
var settingRead = regexp.MustCompile(`s\.(?:text|yes|choice|duration|number|set|pairs)\("([A-Z_]+)"`)

var quotedWord = regexp.MustCompile("`([^`]+)`")

// The guide has every setting that there is, no other, and the defaults that they have.
func TestTheGuideHasTheSettings(t *testing.T) {
	guide, err := os.ReadFile("../../docs/aws-lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	var told, there []string
	for _, row := range settingRow.FindAllStringSubmatch(string(guide), -1) {
		for _, name := range quotedWord.FindAllStringSubmatch(row[1], -1) {
			told = append(told, strings.TrimPrefix(name[1], prefix))
		}
		value := quotedWord.FindStringSubmatch(row[2])
		if value == nil { // told in words
			continue
		}
		setting := told[len(told)-1] + "=" + value[1]
		if got := configure(t, setting); !reflect.DeepEqual(got, configure(t)) {
			t.Errorf("%s is not what it is without the setting", setting)
		}
	}
	for _, read := range settingRead.FindAllStringSubmatch(string(source), -1) {
		there = append(there, read[1])
	}
	slices.Sort(told)
	slices.Sort(there)
	if !slices.Equal(told, there) {
		t.Errorf("the guide has\n%v, config.go reads\n%v", told, there)
	}
}
