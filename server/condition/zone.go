package condition

import (
	"fmt"
	"regexp"
	"sync"
	"time"
	_ "time/tzdata" // the images have no zone files

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// accessors are the functions of a timestamp that take a time zone. The ones of cel load the zone, a file, each time.
var accessors = []struct {
	function, overload string
	get                func(time.Time) int
}{
	{overloads.TimeGetFullYear, overloads.TimestampToYearWithTz, time.Time.Year},
	{overloads.TimeGetMonth, overloads.TimestampToMonthWithTz, func(t time.Time) int { return int(t.Month()) - 1 }},
	{overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz, func(t time.Time) int { return t.YearDay() - 1 }},
	{overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz, func(t time.Time) int { return t.Day() - 1 }},
	{overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz, time.Time.Day},
	{overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz, func(t time.Time) int { return int(t.Weekday()) }},
	{overloads.TimeGetHours, overloads.TimestampToHoursWithTz, time.Time.Hour},
	{overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz, time.Time.Minute},
	{overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz, time.Time.Second},
	{overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz, func(t time.Time) int { return t.Nanosecond() / 1_000_000 }},
}

// zoned declares the accessors with zones that Compile has loaded.
func zoned() []cel.EnvOption {
	options := make([]cel.EnvOption, len(accessors))
	for i, a := range accessors {
		options[i] = cel.Function(a.function, cel.MemberOverload(a.overload,
			[]*cel.Type{cel.TimestampType, cel.StringType}, cel.IntType,
			cel.BinaryBinding(func(at, zone ref.Val) ref.Val {
				t, ok := at.(types.Timestamp)
				if !ok {
					return types.MaybeNoSuchOverloadErr(at)
				}
				name, ok := zone.(types.String)
				if !ok {
					return types.MaybeNoSuchOverloadErr(zone)
				}
				location, ok := zones.Load(string(name))
				if !ok {
					return types.WrapErr(ErrNotComputed)
				}
				return types.Int(a.get(t.In(location.(*time.Location))))
			})))
	}
	return options
}

func takesZone(function string) bool {
	for _, a := range accessors {
		if a.function == function {
			return true
		}
	}
	return false
}

// zones has the *time.Location of every zone that a condition named, by that name. There are some 600 names and 1,440
// offsets a side.
var zones sync.Map

var offsetZone = regexp.MustCompile(`^[+-]?([01][0-9]|2[0-3]):[0-5][0-9]$`)

// loadZone loads a zone by name ("Europe/Berlin", "UTC") or offset ("+02:00") for the accessors.
func loadZone(name string) error {
	if _, known := zones.Load(name); known {
		return nil
	}
	var location *time.Location
	switch {
	case offsetZone.MatchString(name):
		clock, err := time.Parse("15:04", name[len(name)-5:])
		if err != nil {
			return fmt.Errorf("offset %q: %w", name, err)
		}
		seconds := clock.Hour()*3600 + clock.Minute()*60
		if name[0] == '-' {
			seconds = -seconds
		}
		location = time.FixedZone(name, seconds)
	case name != "" && name != "Local": // package time knows both, and the second depends on the machine
		location, _ = time.LoadLocation(name)
	}
	if location == nil {
		return fmt.Errorf("%q is not a time zone such as Europe/Berlin, UTC or +02:00", name)
	}
	zones.Store(name, location)
	return nil
}
