"""Which channels of a MIDI file play drum kits: General MIDI's tenth, and what GM2, XG and GS make of others."""

from __future__ import annotations

TENTH = 9  # counted from 0
GM2_KIT, GM2_MELODIC, XG_KITS = 120, 121, (126, 127)  # banks
GS, GS_PARTS, GS_RHYTHM = b"\x42\x12\x40", 0x10, 0x15  # at 2, 5 and 6
XG, XG_PARTS, XG_MODE = b"\x4c", 0x08, 0x07  # at 2, 3 and 5

Channel = tuple[int, int]  # port, channel


class Rhythm:
    """The channels that play drum kits, as a file's events come.

    A channel's part mode in an exclusive of Roland's GS or Yamaha's XG, and over it the bank (controller 0) that was
    selected before a program change: 120 of General MIDI 2, 126 and 127 of XG, which GS has for other sounds. A reset
    to GM, GS or XG leaves the tenth channel alone.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self, gs: bool = False) -> None:
        self._banks: dict[Channel, int] = {}
        self._by_bank: dict[Channel, bool] = {}
        self._by_mode: dict[Channel, bool] = {}
        self._gs = gs

    def __contains__(self, channel: Channel) -> bool:
        return self._by_bank.get(channel, self._by_mode.get(channel, channel[1] == TENTH))

    def select(self, channel: Channel, bank: int) -> None:
        """Take note of a bank, which the next program change makes use of."""
        self._banks[channel] = bank

    def change(self, channel: Channel) -> None:
        """Take note of a program change."""
        bank = self._banks.get(channel)
        if bank == GM2_KIT or (bank in XG_KITS and not self._gs):
            self._by_bank[channel] = True
        elif bank == GM2_MELODIC:
            self._by_bank[channel] = False
        else:
            self._by_bank.pop(channel, None)

    def message(self, port: int, data: bytes) -> None:
        """Take note of a system exclusive, given without its status."""
        maker = data[:1]
        if maker == b"\x7e" and data[2:3] == b"\x09":
            self._reset()
        elif maker == b"\x41" and data[2:5] == GS and len(data) > 7:
            if data[5:8] == b"\0\x7f\0":
                self._reset(gs=True)
            elif data[5] & 0xF0 == GS_PARTS and data[6] == GS_RHYTHM:
                part = data[5] & 0xF  # 0 is the tenth, then come the others in order
                channel = TENTH if part == 0 else part - (part <= TENTH)
                self._by_mode[port, channel] = data[7] > 0
        elif maker == b"\x43" and data[2:3] == XG and len(data) > 6:
            if data[3:6] == b"\0\0\x7e":
                self._reset()
            elif data[3] == XG_PARTS and data[5] == XG_MODE:
                self._by_mode[port, data[4] & 0xF] = data[6] > 0
