"""Financial text: the Financial PhraseBank and a generator of the project's own."""
