"""Songs and their segments: embedded, Slakh2100, MIDI."""
