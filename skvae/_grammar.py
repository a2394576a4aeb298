"""A small grammar of made-up text messages; everything here is synthetic."""

from __future__ import annotations

import re

import numpy as np

HAM = (
    "{greeting} {name}, {question}?",
    "{question}?",
    "{plan}, ok?",
    "{plan}. {question}?",
    "{reply}, {plan}",
    "{reply} {smile}",
    "{reply}.. {feeling}",
    "{greeting}! {feeling} {smile}",
    "{feeling}, {plan} {smile}",
    "{name} says {reply}. {plan}",
    "sorry {name}, {excuse}. {plan}",
    "{excuse}, talk {time}",
    "{greeting} {name}, {news}. {question}?",
    "{news}! {feeling}",
    "did you hear, {news}?",
    "pls bring {thing} and {thing} {time}",
    "at {place} with {name}, {feeling}",
    "{thing} is {number} at {place}, want some?",
)

SPAM = (
    "{shout}! You have won a {prize}. {claim}",
    "{shout} Your number was chosen for {prize}! {claim} {terms}",
    "FREE {offer}! {claim} {terms}",
    "{brand}: {offer} for only {price} a {unit}. {claim}",
    "Final notice: your {prize} is waiting. {claim} {terms}",
    "Win {price} {time_limit}! {claim} {terms}",
    "Dear customer, your {brand} bonus of {price} ends {time_limit}. {claim}",
    "Hot {offer} from {brand}! {claim} To stop reply STOP. {terms}",
)

SLOTS = {
    "greeting": ("hey", "hi", "hello", "morning", "yo", "hiya", "gd evening"),
    "question": (
        "what are you doing {time}",
        "where are you now",
        "do you want {thing}",
        "are you coming to {place} {time}",
        "can you call {name}",
        "how was {place}",
        "did {name} get the {thing}",
        "when does {place} close",
        "who ate my {thing}",
    ),
    "plan": (
        "lets meet at {place} {time}",
        "i am going to {place} {time}",
        "will call you {time}",
        "i pick up {thing} from {place}",
        "we cook {thing} {time}",
        "me and {name} watch {thing} {time}",
        "i take the bus to {place}",
        "see you {time}",
    ),
    "reply": ("ok", "yes", "no way", "sure", "haha", "maybe", "thanks", "on my way", "lol", "fine"),
    "smile": (":)", ":-)", "xx", "lol", "", "", ""),
    "feeling": (
        "i am so tired",
        "miss you",
        "love this {thing}",
        "feeling sick of {thing}",
        "so happy about {place}",
        "cant sleep",
        "bored at {place}",
        "my {thing} is broken",
    ),
    "excuse": (
        "i was at {place}",
        "was driving",
        "my phone died",
        "stuck in {place}",
        "in a meeting about {thing}",
        "{name} is here",
    ),
    "news": (
        "{name} got the job at {place}",
        "{name} lost a {thing}",
        "it rains in {place}",
        "{place} is closed {time}",
        "{name} is engaged to {name}",
        "they sell {thing} at {place}",
    ),
    "time": ("tonight", "later", "tomorrow", "at {number}", "after work", "on sunday", "soon"),
    "name": ("anna", "tom", "mum", "dad", "{rare}", "{rare}"),
    "place": ("home", "work", "the gym", "town", "school", "{rare}", "{rare}"),
    "thing": ("pizza", "tea", "book", "lift", "ticket", "dress", "{rare}", "{rare}"),
    "number": ("{digit}", "{digit}{digit}"),
    "shout": ("URGENT", "WINNER", "CONGRATULATIONS", "ATTENTION", "Well done"),
    "prize": ("£{cash} cash prize", "free holiday", "brand new phone", "£{cash} voucher"),
    "offer": ("ringtones", "tones and games", "mobile upgrade", "text chat", "{rare} tickets"),
    "claim": (
        "Call 09{phone} now to claim!",
        "Text {code} to {short} now!",
        "Reply {code} to {short}.",
        "Claim at www.{rare}.com before {time_limit}",
        "To collect call 08{phone} and quote {short}",
    ),
    "terms": ("T&Cs apply. 18+", "{price}/min from landline", "Std txt rate. 16+", ""),
    "price": ("£{digit}.50", "{digit}50p", "£{cash}", "150p"),
    "unit": ("week", "month", "message"),
    "time_limit": ("today", "this week", "in 24hrs", "by midnight"),
    "brand": ("MobileClub", "PhonePlus", "TxtPrize", "{rare}"),
    "cash": ("100", "250", "500", "1000", "2000", "5000"),
    "code": ("WIN", "YES", "CLAIM", "GO", "PRIZE"),
    "phone": ("{digit}" * 9,),
    "short": ("8{digit}{digit}{digit}{digit}",),
    "digit": tuple("0123456789"),
}

ONSETS = ("b", "br", "ch", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v")
VOWELS = ("a", "e", "i", "o", "u", "ai", "ee", "oo")
CODAS = ("", "", "l", "n", "r", "s", "ck", "nd", "st", "t")

SLOT = re.compile(r"\{(\w+)\}")


def rare_word(rng: np.random.RandomState) -> str:
    """One of up to a million made-up words, the r-th with a probability like r^-1.3."""
    rank = int(rng.zipf(1.3)) % 10**6
    syllables: list[str] = []
    while not syllables or rank:
        rank, onset = divmod(rank, len(ONSETS))
        rank, vowel = divmod(rank, len(VOWELS))
        rank, coda = divmod(rank, len(CODAS))
        syllables.append(ONSETS[onset] + VOWELS[vowel] + CODAS[coda])
    return "".join(syllables)


def expand(template: str, rng: np.random.RandomState) -> str:
    """Fill every slot of a template, and the slots of what fills it."""

    def fill(match: re.Match[str]) -> str:
        slot = match.group(1)
        if slot == "rare":
            return rare_word(rng)
        return expand(SLOTS[slot][rng.randint(len(SLOTS[slot]))], rng)

    return SLOT.sub(fill, template).strip()


def ham_message(rng: np.random.RandomState) -> str:
    """A message between people who know each other."""
    return expand(HAM[rng.randint(len(HAM))], rng)


def spam_message(rng: np.random.RandomState) -> str:
    """A message that wants money."""
    return expand(SPAM[rng.randint(len(SPAM))], rng)
