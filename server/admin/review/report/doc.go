// Package report makes documents of an access review: a CSV for spreadsheets, and one HTML file to read, print and sign.
//
// What the names, reasons and conditions in a review say was written by many hands, some hostile. In the CSV no cell is
// taken for a formula; in the HTML everything is escaped by context, the page loads nothing, and its Content-Security-Policy
// lets nothing run. The same review always makes the same bytes, so that two reports can be compared.
package report
