package doctor

import (
	"encoding/json"
	"time"
)

// Status is how a step went.
type Status uint8

// The statuses, in the order of how bad they are.
const (
	Skipped Status = iota // could not be looked at
	OK
	Warn // works, and may not be what was meant
	Fail // requests are refused
)

var statusNames = [...]string{Skipped: "skipped", OK: "ok", Warn: "warn", Fail: "fail"}

// String is the status as reports write it.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "unknown"
}

// MarshalJSON writes the status as String does.
func (s Status) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Step is one check.
type Step struct {
	Name    string `json:"name"` // from a closed list, see docs/doctor.md
	Status  Status `json:"status"`
	Checked string `json:"checked"`         // what was looked at
	Found   string `json:"found,omitempty"` // what was there
	Cause   string `json:"cause,omitempty"` // why that is so, most likely
	Fix     string `json:"fix,omitempty"`   // what to do about it, and where
}

// Report is an examination.
type Report struct {
	At     time.Time `json:"at"`     // UTC
	Result Status    `json:"result"` // the worst of the steps
	// Reason is the reason code with which a server would refuse the token; "" when it accepts it or there was none.
	Reason string `json:"reason,omitempty"`
	Steps  []Step `json:"steps"`
}

// add appends steps and keeps Result the worst.
func (r *Report) add(steps ...Step) {
	for _, s := range steps {
		r.Steps = append(r.Steps, s)
		r.Result = max(r.Result, s.Status)
	}
}

// failing are the names of the steps that fail.
func (r *Report) failing() []string {
	var names []string
	for _, s := range r.Steps {
		if s.Status == Fail {
			names = append(names, s.Name)
		}
	}
	return names
}

// What a step can come to. checked is said once, in the first line of each step.
func ok(name, checked, found string) Step {
	return Step{Name: name, Status: OK, Checked: checked, Found: found}
}

func skipped(name, checked, why string) Step {
	return Step{Name: name, Status: Skipped, Checked: checked, Found: why}
}

func warn(name, checked, found, cause, fix string) Step {
	return Step{Name: name, Status: Warn, Checked: checked, Found: found, Cause: cause, Fix: fix}
}

func fail(name, checked, found, cause, fix string) Step {
	return Step{Name: name, Status: Fail, Checked: checked, Found: found, Cause: cause, Fix: fix}
}
