"""Tables, summaries and HTML reports for display."""
