package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// Measures of charts, in the units of their viewBox.
const (
	chartWidth = 640
	labelWidth = 230
	barRoom    = 330 // the longest bar; what is left of the width is for its number
	barPitch   = 26
	barTall    = 16
	weekPitch  = 40
	weekTall   = 30
	weekRoom   = 360
	labelRunes = 34
)

// chart is one SVG, worked out; the template only writes it down. Bars are told apart by their labels and numbers, never
// by colour alone, so that a black and white print says the same.
type chart struct {
	Title, Note   string
	Width, Height int
	Bars          []bar
	Labels        []label
}

// Empty says that there is nothing to show.
func (c *chart) Empty() bool { return len(c.Bars) == 0 }

// bar is a rectangle; Tip is told by screen readers and on hovering.
type bar struct {
	X, Y, W, H float64
	Tip        string
}

// label is a text; Class is num or empty.
type label struct {
	X, Y        float64
	Text, Class string
}

// count is a bar before it has a place.
type count struct {
	name string
	n    int
}

// horizontal is a chart of a bar a line.
func horizontal(title, note string, counts []count) chart {
	c := chart{Title: title, Note: note, Width: chartWidth, Height: len(counts)*barPitch + 8}
	most := 0
	for _, k := range counts {
		most = max(most, k.n)
	}
	if most == 0 {
		return chart{Title: title, Note: note}
	}
	for i, k := range counts {
		y := float64(i*barPitch + 4)
		w := float64(barRoom) * float64(k.n) / float64(most)
		c.Bars = append(c.Bars, bar{X: labelWidth, Y: y, W: w, H: barTall, Tip: fmt.Sprintf("%s: %d", k.name, k.n)})
		c.Labels = append(c.Labels,
			label{X: labelWidth - 10, Y: y + 12.5, Text: short(k.name), Class: "end"},
			label{X: labelWidth + w + 8, Y: y + 12.5, Text: fmt.Sprint(k.n), Class: "num"})
	}
	return c
}

// top is counts by number, largest first, at most n of them with the rest as one.
func top(counts map[string]int, n int) []count {
	all := make([]count, 0, len(counts))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, count{name, counts[name]})
	}
	slices.SortStableFunc(all, func(a, b count) int { return cmp.Compare(b.n, a.n) })
	if len(all) <= n {
		return all
	}
	rest := count{name: fmt.Sprintf("%d others", len(all)-n+1)}
	for _, k := range all[n-1:] {
		rest.n += k.n
	}
	return append(all[:n-1:n-1], rest)
}

// week is the Monday that t's week begins with.
func week(t time.Time) time.Time {
	t = t.UTC()
	d := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return d.AddDate(0, 0, -int((d.Weekday()+6)%7))
}

// maxWeeks is more than the 400 days that a review looks back on.
const maxWeeks = 60

// weekly is the changes per week, a row of columns for each of the busiest actors, all to one scale.
func weekly(title string, changes []*verdictv1.Change, at time.Time, actors int) chart {
	total := map[string]int{}
	last := week(at)
	first := last
	for _, c := range changes {
		total[c.GetActor()]++
		if w := week(c.GetTime().AsTime()); w.Before(first) {
			first = w
		}
	}
	if oldest := last.AddDate(0, 0, -7*(maxWeeks-1)); first.Before(oldest) {
		first = oldest
	}
	rows := top(total, actors)
	if len(rows) == 0 {
		return chart{Title: title}
	}
	place := map[string]int{}
	for i, r := range rows {
		place[r.name] = i
	}
	weeks := int(last.Sub(first)/(7*24*time.Hour)) + 1
	cells := make([][]int, len(rows))
	for i := range cells {
		cells[i] = make([]int, weeks)
	}
	most := 0
	for _, c := range changes {
		row, named := place[c.GetActor()]
		if !named {
			row = len(rows) - 1
		}
		w := min(max(int(week(c.GetTime().AsTime()).Sub(first)/(7*24*time.Hour)), 0), weeks-1)
		cells[row][w]++
		most = max(most, cells[row][w])
	}
	c := chart{
		Title: title, Width: chartWidth, Height: len(rows)*weekPitch + 26,
		Note: fmt.Sprintf("A column is a week; the tallest is %s.", plural(most, "change")),
	}
	pitch := min(float64(weekRoom)/float64(weeks), 40)
	for i, r := range rows {
		foot := float64(i*weekPitch + weekTall + 4)
		c.Labels = append(c.Labels,
			label{X: labelWidth - 10, Y: foot - 8, Text: short(r.name), Class: "end"},
			label{X: labelWidth + weekRoom + 8, Y: foot - 8, Text: fmt.Sprint(r.n), Class: "num"})
		for w, n := range cells[i] {
			if n == 0 {
				continue
			}
			h := max(weekTall*float64(n)/float64(most), 2)
			c.Bars = append(c.Bars, bar{
				X: labelWidth + float64(w)*pitch, Y: foot - h, W: max(pitch-2, 1), H: h,
				Tip: fmt.Sprintf("%s, week of %s: %s", r.name, first.AddDate(0, 0, 7*w).Format(time.DateOnly), plural(n, "change")),
			})
		}
	}
	end := float64(len(rows)*weekPitch + 18)
	c.Labels = append(c.Labels, label{X: labelWidth, Y: end, Text: first.Format(time.DateOnly)})
	if weeks > 4 {
		c.Labels = append(c.Labels, label{X: labelWidth + pitch*float64(weeks), Y: end, Text: last.Format(time.DateOnly), Class: "end"})
	}
	return c
}

// short is a name as it fits before a bar.
func short(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if r := []rune(name); len(r) > labelRunes {
		return string(r[:labelRunes-1]) + "…"
	}
	return name
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
