package entra

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

const (
	cacheVersion = 1
	// maxCached bounds a file: two documents in base64 and what stands around them.
	maxCached = 2*maxBody/3*4 + 64<<10
	// othersMayWrite are the permissions that no file here may have.
	othersMayWrite fs.FileMode = 0o022
)

// cached is a file of the cache folder: both documents as they came, read again as strictly when they are used.
type cached struct {
	Version       int       `json:"version"`
	Metadata      string    `json:"metadata"` // address of the configuration; it has to be the source's
	FetchedAt     time.Time `json:"fetched_at"`
	Configuration []byte    `json:"configuration"`
	Keys          []byte    `json:"keys"`
}

// openCache makes the folder, for this user alone, and refuses one that others may write.
func openCache(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cache dir: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("cache dir: %w", err)
	}
	if info.Mode()&othersMayWrite != 0 {
		return fmt.Errorf("cache dir: %s may be written by others (%v), who could add signing keys; chmod 700", dir, info.Mode().Perm())
	}
	probe, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("cache dir: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// cacheFile is where the documents of s are kept; "" when nothing is.
func (s *source) cacheFile() string {
	if s.cfg.CacheDir == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(s.provider.Kind.String() + "\n" + s.provider.Name + "\n" + s.issuer + "\n" + s.metadata))
	return filepath.Join(s.cfg.CacheDir, hex.EncodeToString(sum[:16])+".json")
}

// keep writes set to disk. A failure is told and changes nothing else.
func (s *source) keep(set *keySet) {
	name := s.cacheFile()
	if name == "" {
		return
	}
	err := writeCache(name, cached{
		Version: cacheVersion, Metadata: s.metadata, FetchedAt: set.fetchedAt.UTC(),
		Configuration: set.configuration.body, Keys: set.published.body,
	})
	if err == nil {
		s.cacheProblem.Store(nil)
		return
	}
	text := err.Error()
	if before := s.cacheProblem.Swap(&text); before == nil || *before != text {
		s.log.Warn("signing keys could not be kept on disk",
			slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.String("problem", text))
	}
}

// writeCache replaces the file at once, so that a reader sees the old or the new one.
func writeCache(name string, c cached) error {
	content, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// forget removes what is on disk.
func (s *source) forget() {
	name := s.cacheFile()
	if name == "" {
		return
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("signing keys could not be removed from disk",
			slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.String("problem", err.Error()))
	}
}

// restore takes what an earlier process kept, if it is young enough and still what the configuration wants. A file that
// is not is told and left for the next refresh to replace.
func (s *source) restore() {
	name := s.cacheFile()
	if name == "" || s.cfg.RequireFreshStart {
		return
	}
	set, err := s.readCache(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.log.Warn("signing keys on disk are not used",
			slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.String("problem", err.Error()))
	default:
		s.current.Store(set)
		s.log.Info("signing keys taken from disk", slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant),
			slog.Time("fetched_at", set.fetchedAt), slog.Int("keys", len(set.keys)))
	}
}

func (s *source) readCache(name string) (*keySet, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode()&othersMayWrite != 0 {
		return nil, fmt.Errorf("%s may be written by others or is no file", name)
	}
	content, err := io.ReadAll(io.LimitReader(f, maxCached+1))
	if err != nil {
		return nil, err
	}
	var c cached
	if len(content) > maxCached || json.Unmarshal(content, &c) != nil || c.Version != cacheVersion {
		return nil, fmt.Errorf("%s is not a file of this version", name)
	}
	if c.Metadata != s.metadata {
		return nil, fmt.Errorf("%s is of another address", name)
	}
	// A file from the future has no age that could be trusted.
	if age := s.cfg.Now().Sub(c.FetchedAt); age > s.cfg.MaxStale || age < -maxSkew {
		return nil, fmt.Errorf("%s was fetched at %s, which is too old or to come", name, c.FetchedAt.Format(time.RFC3339))
	}
	set := &keySet{
		fetchedAt:     c.FetchedAt,
		configuration: document{url: s.metadata, body: c.Configuration},
		published:     document{body: c.Keys},
	}
	if set.discovery, err = parseDiscovery(c.Configuration, s); err != nil {
		return nil, err
	}
	set.published.url = set.discovery.jwksURI
	set.keys, err = parseKeys(c.Keys, s.provider)
	return set, err
}
