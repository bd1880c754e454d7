// Package keep looks after the days that decision records are kept in: it makes the partitions ahead of time, and takes those
// away that are older than they are kept for, each only after it was archived, proven and read by whoever exports.
package keep
