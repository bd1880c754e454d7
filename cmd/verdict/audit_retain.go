package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/verdict-authz/verdict/server/audit/keep"
	"github.com/verdict-authz/verdict/store"
)

// auditRetainCmd takes away the days of records that are older than they are kept for.
type auditRetainCmd struct {
	storeFlags

	KeepDays  int      `default:"400" help:"Whole days before today (UTC) whose records stay."`
	KeepUse   int      `name:"keep-use-days" default:"400" help:"Days for which the last use of each grant stays known; access reviews look back no further."`
	Archive   string   `help:"Folder, which exists, for the records that go: a file a day, JSON lines packed with zstd, and a manifest." type:"existingdir" placeholder:"DIR"`
	NoArchive bool     `help:"Let the records go for good."`
	Exporter  []string `default:"export/otlp,export/files,export/kafka" help:"Exporters that must have read a day before it goes; one that never ran does not count. Unless set: ${default}. Name none to forget those that are gone." placeholder:"NAME"`
	Unsealed  bool     `help:"Let days go that are not sealed yet, although others are."`
	DryRun    bool     `env:"-" help:"Print what would go, and change nothing."`
	JSON      bool     `name:"json" env:"-" help:"Print JSON, an object a partition."`
}

// Help is what --help says beside the flags.
func (*auditRetainCmd) Help() string {
	return "Needs the rights of the user that migrates: nobody else may take a partition away. A day goes only after its archive was read back from the disk and proven to hold what the store held. It can be ended at any point and run again."
}

// Run prints the plan, and follows it unless it is a dry run.
func (c *auditRetainCmd) Run(s *surroundings) error {
	r := keep.Retention{Days: c.KeepDays, Archive: c.Archive, NoArchive: c.NoArchive, Exporters: c.Exporter, Unsealed: c.Unsealed}
	if c.DryRun && c.Archive == "" {
		r.NoArchive = true // nothing goes
	}
	err := r.Validate()
	if c.KeepUse < 1 {
		err = errors.Join(err, errors.New("--keep-use-days: at least one"))
	}
	if err != nil {
		return usage(err)
	}
	st, err := c.open(s)
	if err != nil {
		return err
	}
	defer st.Close()
	return c.retain(s, st, &r)
}

func (c *auditRetainCmd) retain(s *surroundings, st store.Store, r *keep.Retention) error {
	now := time.Now().UTC()
	steps, err := r.Plan(s.ctx, st, now)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.print(s.stdout, results(steps), "would drop")
	}
	var all []keep.Result
	for _, st := range steps {
		if st.Action == keep.Stay {
			all = append(all, keep.Result{Step: st})
		}
	}
	err = r.Apply(s.ctx, st, steps, func(res keep.Result) {
		all = append(all, res)
		s.log.Info("dropped", "partition", res.Partition.Name, "archived", res.Archive.Records) // the others may take hours
	})
	if err == nil {
		err = st.ForgetGrantUse(s.ctx, store.Day(now).AddDate(0, 0, -c.KeepUse))
	}
	return errors.Join(c.print(s.stdout, all, "dropped"), err)
}

func results(steps []keep.Step) []keep.Result {
	all := make([]keep.Result, len(steps))
	for i, st := range steps {
		all[i].Step = st
	}
	return all
}

// retained is a line of --json.
type retained struct {
	Partition string `json:"partition"`
	Day       string `json:"day"`
	Records   int64  `json:"records"` // about, while it was attached
	Bytes     int64  `json:"bytes"`
	Action    string `json:"action"`
	Why       string `json:"why,omitempty"`
	Archived  uint64 `json:"archived_records,omitempty"`
	SHA256    string `json:"archive_sha256,omitempty"`
}

func (c *auditRetainCmd) print(to io.Writer, all []keep.Result, dropped string) error {
	lines := make([]retained, len(all))
	gone := 0
	for i, r := range all {
		lines[i] = retained{
			Partition: r.Partition.Name, Day: r.Partition.Day.Format(time.DateOnly), Records: r.Partition.Rows, Bytes: r.Partition.Bytes,
			Action: "stays", Why: r.Why, Archived: r.Archive.Records, SHA256: r.Archive.File,
		}
		if r.Action == keep.Drop {
			lines[i].Action = dropped
			gone++
		}
	}
	if c.JSON {
		enc := json.NewEncoder(to)
		for _, l := range lines {
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	if len(lines) > 0 {
		fmt.Fprintln(w, "DAY\tPARTITION\tRECORDS\tMIB\tACTION\tWHY")
	}
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%s\t%s\n", l.Day, l.Partition, l.Records, float64(l.Bytes)/(1<<20), l.Action, l.Why)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(to, "%s: %d of %d partitions older than %d days\n", dropped, gone, len(lines), c.KeepDays)
	return err
}
