//! Words that say nothing about what a text is about.

/// English, by function: articles, pronouns, auxiliaries, prepositions,
/// conjunctions, question words. Not here: negations, numbers, and whatever names
/// a thing. In alphabetic order.
const ENGLISH: [&str; 96] = [
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "between", "both", "but", "by", "can", "could", "did", "do", "does", "doing",
    "during", "each", "for", "from", "had", "has", "have", "he", "her", "hers", "him", "his", "how", "i",
    "if", "in", "into", "is", "it", "its", "may", "me", "might", "more", "most", "my", "of", "on", "or",
    "other", "our", "over", "please", "she", "should", "so", "some", "such", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "through", "to", "under", "up", "us", "was",
    "we", "were", "what", "when", "where", "which", "while", "who", "whom", "whose", "why", "will", "with",
    "you",
];

/// Other languages that a question may be asked in, a few of each: those that stand
/// in most questions and are no word of English (`die`, `dos`). In the order of their characters.
const OTHERS: [&str; 53] = [
    "au", "aux", "ce", "che", "como", "da", "das", "de", "dei", "del", "della", "der", "des", "di", "do",
    "du", "ein", "eine", "el", "est", "il", "ist", "la", "le", "les", "na", "os", "para", "por", "que",
    "qui", "um", "uma", "un", "una", "und", "une", "von", "wie", "zu", "в", "и", "как", "на", "по", "с",
    "что", "أن", "إلى", "على", "في", "ما", "من",
];

/// Whether a word (as [`super::words`] gives it) carries no subject matter.
pub fn is_stop(word: &str) -> bool {
    is_english(word) || OTHERS.binary_search(&word).is_ok()
}

pub(super) fn is_english(word: &str) -> bool {
    ENGLISH.binary_search(&word).is_ok()
}
