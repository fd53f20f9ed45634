"""Which question of which instrument a compliance document has a fact for.

Nothing here judges conformity: a row says what the document states, and what is left to whoever
answers for the model.
"""
