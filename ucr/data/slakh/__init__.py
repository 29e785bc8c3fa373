"""Slakh2100's layout: songs composed and rendered into it, and readers of both its published forms."""
