"""The engine inside other tools, against what those tools bring."""
