"""The merge report: one self-contained HTML file that shows what a merge did."""
