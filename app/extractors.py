"""Which extractor reads a modality, what it is, and whether it may send the photo away."""

from __future__ import annotations

import gradio as gr

from app import texts
from app.handlers import Changes, Handlers, guarded
from app.visit import Visit
from mmsr_core.modalities.readers import ROWS


class Extractors(Handlers):
    """Handlers of the choice on each card."""

    @guarded
    def choose(self, visit: Visit, extractor: str, *, name: str) -> Changes:
        """Another extractor: what it would give is not what is shown, so the card becomes stale."""
        slot = visit.slots[name]
        slot.extractor = extractor
        slot.stale = slot.value is not None
        return {self.page.cards[name].badge: texts.badge(slot.badge), **self.shown(visit, name)}

    def shown(self, visit: Visit, name: str) -> Changes:
        """Which extractor a card names, what it is, and whether it may send the photo away."""
        card, row = self.page.cards[name], ROWS[name]
        if card.extractor is None:
            return {}
        usual = self.engine.upscaler().readers.defaults.get(name, next(iter(row.extractors)))
        chosen = usual if visit.slots[name].extractor is None else visit.slots[name].extractor
        way = row.extractors[chosen]
        changes: Changes = {card.extractor: chosen, card.about: texts.fact(way.help)}
        if card.consent is not None:
            away, agreed = way.consent is not None, chosen in visit.allowed
            label = f"I agree. {way.consent}" if away else "Consent"
            changes[card.consent] = gr.Checkbox(value=agreed, label=label, visible=away)
            changes[card.key] = gr.Textbox(visible=bool(way.keys), placeholder=f"or set {' or '.join(way.keys)}")
        return changes

    @guarded
    def allow(self, visit: Visit, agreed: bool, key: str | None, *, name: str) -> Changes:
        """Leave to send the photo to a service, or its end; a typed key stays in this session's memory."""
        way = visit.slots[name].extractor
        visit.allowed.pop(way, None)
        if agreed and way is not None:
            visit.allowed[way] = key or None
        return {}
