package main

import (
	"fmt"
	"runtime/debug"
)

// release is set by the release build: -ldflags "-X main.release=v1.2.3".
var release string

type versionCmd struct{}

// Run prints the version on one line.
func (versionCmd) Run(s *surroundings) error {
	_, err := fmt.Fprintln(s.stdout, "verdict", version())
	return err
}

// version is the release, or what the build knows of its commit.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "devel-" + s.Value[:12]
			}
		}
	}
	return "devel"
}
