"""The local phone and a simulated world: Telegram's Bot API, a chat page, an exchange and Gemini, on loopback only.

The real clients (python-telegram-bot, ccxt, google-genai) talk to these servers over HTTP, in ``julaba demo`` and in
tests. What the real servers refuse is refused here in the same words.
"""
