"""What announces a person's name, and capitalised words that are none."""

from __future__ import annotations

TITLES = (
    "Dr", "Drs", "Mr", "Mrs", "Ms", "Miss", "Mx", "Messrs", "Prof", "Professor", "Doctor", "Herr",
    "Herrn", "Frau", "Mme", "Mlle", "Madame", "Monsieur", "Sra", "Srta", "Se\u00f1or",
    "Se\u00f1ora", "Don", "Do\u00f1a", "Dott", "Dottssa", "Sigra", "Signor", "Signora",
    "Dhr", "Mevr", "Mevrouw", "Dra", "Nurse", "Sister", "Father", "Rev", "Reverend", "Judge",
     "Rabbi", "Imam", "Pastor", "Captain", "Capt", "Sgt", "Sergeant", "Lt",
    "Lieutenant", "Colonel", "Detective", "Constable", "Lord", "Lady", "Dame",
    "Sir", "Senator", "Sheikh", "Shri", "Smt", "Dipl-Ing",     "Cllr", "Matron", "Aunt", "Uncle",
)  # fmt: skip
"""Without the dot that may follow."""

DOTTED_TITLES = ("Sr", "Sig", "Hr", "Fr", "Ing", "Mag", "Hon", "MM")
"""Titles only with their dot: 8 Fr is a catheter's size."""

WORDS_AS_WELL = frozenset((
    "Don", "Major", "Sister", "Father", "Nurse", "Judge",  "Lady", "Sir",
    "Mag", "Ing", "Fr", "Hr", "MM", "Hon", "Miss", "Captain", "Doctor", "Lord", "Dame", "Aunt",
    "Uncle", "Lead", "Pastor", "Matron", "Sr", "Sig", "Lt", "Detective", "Constable", "Professor",
    "Colonel", "Senator", "Dra", "Reverend",
))  # fmt: skip
"""Titles that are ordinary words or abbreviations too: the name must not be one of `ROLES`."""

ROLES = frozenset((
    "Practitioner", "Practitioners", "Manager", "Specialist", "Consultant", "Station", "Notes",
    "Note", "Anesthetist", "Anaesthetist", "Company", "Companies", "General", "Officer",
    "Hospital", "Clinic", "Depressive", "Depression", "Surgery", "Pepper", "Vice", "Director",
    "Executive", "Analyst", "Associate", "Mary", "Bank", "Lecturer", "Partner", "Engineer",
    "Counsel", "Advisor", "Adviser", "Resident", "Registrar", "Fellow", "Figure", "Table", "Care",
    "Call", "Calls", "Educator", "Led", "Unit", "Department", "Who", "Google", "Seuss", "No",
    "Martens", "Scholl", "Strangelove", "Depart", "Day", "Christmas", "Time", "Gaga",
    "Chief", "Secretary", "President", "Leader", "Coordinator", "Assessment", "Review", "Visit",
    "Report", "Initiated",
))  # fmt: skip
"""What follows a title where no name does."""

NAME_LABELS = frozenset((
    "name", "names", "full name", "first name", "last name", "surname", "given name",
    "forename", "forenames", "family name", "middle name", "patient name", "name of patient",
    "maiden name", "preferred name", "legal name", "account name", "customer name",
    "client name", "contact name", "guardian name", "subscriber name", "member name",
    "employee name", "applicant name", "nom", "pr\u00e9nom", "nachname", "vorname",
    "familienname", "nombre", "apellido", "apellidos", "cognome", "nome", "naam", "achternaam",
    "voornaam", "alias", "aka", "also known as", "nimi", "namn", "navn", "n\u00e9e", "nee",
    "cardholder", "card holder", "account holder", "accountholder", "kontoinhaber", "titulaire",
    "titular", "dear", "signed", "signed by", "electronically signed by", "sincerely",
    "patient s name", "name on card", "policyholder",
))  # fmt: skip
"""What follows is a name, even one word."""

PERSON_LABELS = frozenset((
    "patient", "pt", "user", "caller", "attending", "attending physician", "attending doctor",
    "physician", "doctor", "consultant", "surgeon", "assistant", "anesthetist", "anaesthetist",
    "anesthesiologist", "provider", "primary care provider", "pcp", "referring physician",
    "referring provider", "referred by", "gp", "resident", "registrar", "nurse",
    "primary nurse", "dictated by", "transcribed by", "reviewed by", "verified by",
    "authored by", "author", "prepared by", "witness", "witnessed by", "approved by",
    "ordered by", "requested by", "cosigned by", "completed by", "entered by", "seen by", "cc",
    "copy to", "attn", "attention", "beneficiary", "payee", "payer", "customer", "client",
    "applicant", "co-applicant", "borrower", "guarantor", "insured", "subscriber", "member",
    "employee", "employer contact", "next of kin", "nok", "emergency contact", "contact",
    "contact person", "guardian", "caregiver", "carer", "spouse", "husband", "wife", "partner",
    "mother", "father", "son", "daughter", "brother", "sister", "parent", "from", "to",
    "sender", "recipient", "remitter", "debtor", "creditor", "owner", "director",
    "relationship manager", "account manager", "case manager", "social worker", "therapist",
    "psychiatrist", "psychologist", "pharmacist", "midwife", "radiologist", "pathologist",
    "cardiologist", "interpreter", "investigator", "teller", "cashier", "advisor", "adviser",
    "agent", "tenant", "landlord", "plaintiff", "defendant", "arzt", "patientin", "kunde",
    "kundin", "empf\u00e4nger", "auftraggeber", "m\u00e9decin", "paciente", "m\u00e9dico",
    "paziente", "medico", "pati\u00ebnt", "arts", "regards", "ansprechpartner", "hausarzt",
    "operator", "editor", "chairman", "ordering provider", "ordering physician", "supervisor",
    "supervising physician", "responsible physician", "named nurse", "health visitor",
    "key worker", "executor",
))  # fmt: skip
"""What follows is a name where it has two words or an initial."""

LONGEST_NAME_LABEL = 3

PARTICLES = frozenset((
    "van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "das", "do", "du", "la",
    "le", "el", "al", "bin", "bint", "ibn", "abu", "ben", "ter", "ten", "te", "zu", "zur", "zum",
    "af", "av", "y", "e", "st", "vom", "op", "het", "lo", "los", "las", "dal", "degli", "dei",
))  # fmt: skip
"""Small words inside a name."""

DEGREES = (
    "MD", "M.D.", "DO", "D.O.", "RN", "R.N.", "LPN", "NP", "FNP", "ARNP", "CRNA", "PA-C", "PA",
    "PhD", "Ph.D.", "PharmD", "RPh", "DDS", "DMD", "DPM", "DPT", "PT", "OT", "LCSW", "MSW", "MSN",
    "BSN", "MPH", "MBBS", "MBChB", "FRCP", "FRCS", "MRCP", "MRCS", "MRCGP", "FACC", "FACS",
    "FACP", "FAAP", "PsyD", "EdD", "JD", "Esq", "CPA", "CFA", "CNM", "RRT", "RD", "OD", "DVM",
    "DNP",
)  # fmt: skip
"""Letters after a name."""

AFTER_COMMA = frozenset(("PT", "OT", "DO", "OD", "RD", "PA", "JD", "CFA", "CPA", "NP"))
"""Degrees that are other abbreviations too unless a comma stands before them."""

NOT_NAMES = frozenset((
    # Labels and headings that follow a name on the same line.
    "Age", "Sex", "Gender", "Date", "Dob", "DOB", "D.O.B", "MRN", "NHS", "SSN", "ID", "No",
    "Number", "Ward", "Room", "Bed", "Unit", "Hospital", "Clinic", "Department", "Dept",
    "Address", "Phone", "Tel", "Telephone", "Mobile", "Fax", "Email", "E-mail", "Mail",
    "Account", "Acct", "IBAN", "BIC", "Admitted", "Admission", "Discharged", "Discharge",
    "Attending", "Physician", "Consultant", "Diagnosis", "History", "Procedure", "Service",
    "Location", "Time", "Insurance", "Policy", "Member", "Group", "Plan", "Patient", "Name",
    "Surname", "Forename", "Title", "Status", "Signed", "Signature", "Reference", "Ref",
    "Subject", "Re", "Dear", "Regards", "Born", "Race", "Religion", "Language", "Marital",
    "Occupation", "Employer", "Birth", "Height", "Weight", "Allergies", "Medications", "Chief",
    "Complaint", "Reason", "Chart", "Case", "Visit", "Report", "Note", "Notes", "Provider",
    "Doctor", "Nurse", "Surgeon", "Specimen", "Accession", "Collected", "Received", "Website",
    "Web", "Page", "Branch", "Sort", "Card", "Amount", "Balance", "Payment", "Transfer",
    "Invoice", "Order", "Loan", "Customer", "Client", "Beneficiary", "Company",
    # What fills a field that has no name in it.
    "None", "Unknown", "Male", "Female", "Stable", "Deceased", "Denies", "Reports", "Presents",
    "Same", "See", "Not", "Yes", "Nil", "Pending", "Other", "Self", "Home", "Above", "Below",
    "Anonymous", "Confidential", "Redacted", "Withheld", "Sir", "Madam", "Colleague",
    "Colleagues", "Team", "All", "Customers", "Shareholders", "Shareholder", "Editor",
    "Editors", "Parent", "Parents", "Sirs", "Both", "Everyone", "Friends", "Family", "Resident",
    "Staff", "Members",
    # Words that start a sentence.
    "The", "This", "That", "These", "Those", "He", "She", "It", "They", "We", "You", "I", "His",
    "Her", "Their", "Our", "My", "A", "An", "In", "On", "At", "By", "For", "From", "To", "With",
    "And", "But", "Or", "If", "When", "While", "After", "Before", "Since", "There", "Then",
    "Was", "Were", "Is", "Are", "Has", "Had", "Have", "Will", "Would", "Can", "Could", "Should",
    "May", "Please", "Thank", "Thanks", "Who", "What", "Where", "Why", "How", "As", "So",
    "Also", "Patients", "Treatment", "Results", "Conclusion", "Conclusions", "Methods",
    "Background", "Objective", "Overall", "However", "Although", "During", "Today", "Yesterday",
    "Tomorrow", "Seen",
    # Days and months.
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "January",
    "February", "March", "July", "September", "October", "November", "December", "Jan", "Feb",
    "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec",
    # Places of work and degrees.
    "Radiology", "Desk", "Cardiology", "Surgery", "Oncology", "Medicine", "Emergency",
    "Pharmacy", "Laboratory", "Pathology", "Neurology", "Pediatrics", "Paediatrics", "Medical",
    "Health", "Records", "Billing", "Bank", "Ltd", "Inc", "GmbH", "LLC", "Plc", "Corp", "MD",
    "RN", "PhD", "DO", "NP", "PA", "Reported", "Referred", "Requested", "Transferred", "Lives",
    "Works", "Spouse", "Disease", "Syndrome", "Criteria", "Score", "Scale", "Test", "Sign",
    "Classification", "Association", "Institute", "University", "Questionnaire", "Index",
    "Inventory", "Satisfaction", "Safety", "Education", "Information", "Center", "Centre",
    "Services", "Pulmonary",
))  # fmt: skip
"""Capitalised words at which a name ends, or that are no name where one was expected."""

NOT_FIRST_NAMES = frozenset((
    "Vitamin", "Killip", "Hepatitis", "Type", "Group", "Class", "Grade", "Stage", "Protein",
    "Factor", "Table", "Figure", "Fig", "Appendix", "Section", "Part", "Plan", "Child",
    "Influenza", "Immunoglobulin", "Panel", "Arm", "Cohort", "Phase", "Category", "Schedule",
    "Exhibit", "Series", "Model", "Level", "Option", "Study", "Experiment", "Trial", "Version",
    "Annex", "Block", "Building", "Line", "Item", "Streptococcus", "Haemophilus",
    "Amphotericin", "Polymyxin", "Botulinum", "Cyclosporin", "Tier", "Share", "Shares", "Room",
    "Ward", "Bed", "Pool", "Site", "Region", "Area", "Sample",
))  # fmt: skip
"""What stands before a capital and a dot that are no middle initial."""

SPECIES = frozenset((
    "Coli", "Aureus", "Difficile", "Pylori", "Pneumoniae", "Pneumophila", "Albicans", "Faecalis",
    "Faecium", "Aeruginosa", "Influenzae", "Tuberculosis", "Epidermidis", "Bovis", "Avium",
    "Elegans", "Falciparum", "Vivax", "Gondii", "Jejuni", "Perfringens", "Pyogenes",
    "Meningitidis", "Baumannii", "Melanogaster", "Cerevisiae", "Musculus", "Vulgaris",
    "Trachomatis", "Burgdorferi", "Mirabilis",
))  # fmt: skip
"""What stands after the initial of a genus."""

DIRECTIONS = frozenset((
    "Africa", "African", "America", "American", "Korea", "Korean", "Carolina", "Dakota", "Ireland",
    "Irish", "Virginia", "Asia", "Asian", "Europe", "European", "Germany", "Coast", "Bank",
))  # fmt: skip
"""What stands after N, S, E or W for a point of the compass."""
