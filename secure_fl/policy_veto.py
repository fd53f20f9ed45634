"""What a site refuses to send of its own, whatever the run: `[veto]` of its policy."""

from __future__ import annotations

from pydantic import StrictBool

from secure_fl.config_sections import Section


class VetoSection(Section):
    """Which tests a noised sum has to pass before it leaves; all of them where nothing is said.

    None of them reads a record, and one that is switched off weakens no guarantee of correct code:
    they find code that is not correct (`audits.site.veto`).
    """

    noise: StrictBool = True
    """Refuse a sum with less noise than the mechanism says."""
    size: StrictBool = True
    """Refuse a sum that is longer than clipped contributions and their noise can be."""
    fresh: StrictBool = True
    """Refuse a sum whose noise was in one of the last sums."""
